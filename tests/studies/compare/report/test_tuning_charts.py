"""What Optuna has tried is drawn where a study holds it; a damaged file is absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_patches.studies.compare.comparison import compare_runs
from ssl_patches.studies.compare.report import tuning_charts
from ssl_patches.studies.compare.report.page import page


@pytest.fixture
def tuned(study) -> Path:
    """A study with a search of four trials: two whole, one ended early, one that diverged."""
    states = {
        "complete": (40.0, {"1": 30.0}),
        "pruned": (None, {"1": 20.0}),
        "diverged": (None, {}),
    }
    trials = [
        {
            "number": at,
            "state": state,
            "value": states[state][0] and states[state][0] + at,
            "rungs": states[state][1],
            "label": f"optimizer.base_lr=0.00{at}",
        }
        for at, state in enumerate(["complete", "pruned", "diverged", "complete"])
    ]
    content = {"name": "jigsaw", "trials": trials, "importances": {"optimizer.base_lr": 0.75}}
    for folder, text in {"jigsaw-1": json.dumps(content), "damaged-2": '{"name": '}.items():
        (study / "tune" / folder).mkdir(parents=True)
        (study / "tune" / folder / "search.json").write_text(text)
    return study


def test_a_study_without_a_search_has_no_such_chart(study):
    comparison = compare_runs([study])
    assert (
        tuning_charts.search_history(comparison)
        is tuning_charts.setting_importances(comparison)
        is None
    )


def test_history_shows_each_trial_and_the_best_whole_one_so_far(tuned):
    text = json.dumps(tuning_charts.search_history(compare_runs([tuned])))
    for said in ('"value": 40.0', '"value": 20.0', '"value": 43.0', '"best": 43.0'):
        assert said in text
    assert '"best": 20.0' not in text


def test_the_page_has_both_charts_and_names_are_escaped(tuned):
    file = tuned / "tune" / "jigsaw-1" / "search.json"
    file.write_text(file.read_text().replace("jigsaw", "</script><b>x"))
    found = page(compare_runs([tuned]))
    assert 'id="tuning"' in found
    assert 'id="importances"' in found
    assert "</script><b>x" not in found
