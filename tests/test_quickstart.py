"""What `make quickstart` shows: each task is above both floors, whatever the seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ssl_patches.cli import main

STUDY = Path(__file__).parent.parent / "experiments" / "tasks_embedded"
TASKS = ("jigsaw", "relative", "masked", "agree")
SEEDS = range(5)
Rows = Mapping[tuple[str, str], Mapping[str, float]]

ASKED = [(task, metric) for task in TASKS for metric in ("knn20_top1", "linear_top1")]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[tuple[str, int], Rows]:
    """Run the study with five seeds: (task, seed) -> (model, metric) -> row."""
    out, seeds = tmp_path_factory.mktemp("quickstart"), ",".join(map(str, SEEDS))
    assert main(["study", str(STUDY), f"out={out}", f"seed={seeds}", "workers=2"]) == 0
    summaries = [json.loads(file.read_text()) for file in out.glob("**/summary.json")]
    return {
        (run["task"], run["seed"]): {(row["model"], row["metric"]): row for row in run["results"]}
        for run in summaries
    }


@pytest.mark.slow
def test_every_run_ends_and_the_floors_stay_below_40(found):
    """Four tasks, five seeds; k-NN of raw pixels and random weights leave room."""
    assert set(found) == {(task, seed) for task in TASKS for seed in SEEDS}
    for rows in found.values():
        assert max(rows[f, "knn20_top1"]["value"] for f in ("random_init", "raw_pixels")) < 40


@pytest.mark.slow
@pytest.mark.parametrize(("task", "metric"), ASKED)
def test_a_task_clears_both_floors_on_five_seeds_of_five(found, task, metric):
    """The interval of the encoder lies above those of random weights and raw pixels."""
    for seed in SEEDS:
        rows = found[task, seed]
        floors = [rows[floor, metric]["high"] for floor in ("random_init", "raw_pixels")]
        assert rows["trained", metric]["low"] > max(floors), f"seed {seed}"
