"""A trial is judged on its way, and nothing of that reaches what goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_patches.data.embedded import EmbeddedSource
from ssl_patches.studies import design, jobs, planning, rungs, trials


@pytest.fixture
def job(tiny_study) -> jobs.Job:
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [0]}, tune=None)
    plan = planning.plan(design.read_study(folder), folder / "out")
    return plan.runs[0].choices[0]


def result(job: jobs.Job, directory: Path, lags) -> dict:
    directory.mkdir(exist_ok=True)
    trials.run_trial(job, directory, say=lambda _: None, lags=lags)
    assert not (directory / "checkpoints").exists()
    assert not (directory / "config.yaml").exists()
    return json.loads((directory / "trial.json").read_text())


def losses(directory: Path) -> list[str]:
    rows = (directory / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    return [row.split(",")[column] for row in rows[1:]]


def test_a_trial_that_goes_on_is_the_one_that_nobody_looked_at(job, tmp_path, monkeypatch):
    """Nor does judging read an image of the test split."""
    read, asked = set(), []
    before = EmbeddedSource.__getitem__

    def noted(self, index):
        read.add(self.split)
        return before(self, index)

    def never(values):
        asked.append(dict(values))
        return False

    monkeypatch.setattr(EmbeddedSource, "__getitem__", noted)
    judged = result(job, tmp_path / "judged", never)
    assert judged == result(job, tmp_path / "alone", None)
    assert losses(tmp_path / "judged") == losses(tmp_path / "alone")
    assert read == {"train"}
    assert [list(values) for values in asked] == [[1], [1, 2]]
    assert judged["images"] == 64


def test_a_trial_that_lags_ends_there_and_keeps_why(job, tmp_path):
    found = result(job, tmp_path / "ended", lambda values: True)
    assert found["value"] is None
    assert found["pruned"]
    assert found["images"] == 16  # a quarter of 64
    assert found["flops"] > 0
    kept = rungs.read_rungs(tmp_path / "ended" / rungs.FILE)
    assert kept["1"]["pruned"]
    assert 0 <= kept["1"]["value"] <= 100
