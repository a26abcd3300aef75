"""A comparison as a whole: entries, pairs, what is asked for and not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches.studies.compare.comparison import compare_runs, estimate_metric
from ssl_patches.studies.compare.table import ALONE, sentences


def entries(place: Path, **asked) -> dict[str, int]:
    return {entry.name: len(entry.seeds) for entry in compare_runs([place], **asked).entries}


def test_runs_that_differ_in_the_seed_alone_are_one_entry_and_floors_have_seeds_too(study):
    assert entries(study) == {"masked": 3, "jigsaw": 3, "raw_pixels": 3, "random_init": 3}
    comparison = compare_runs([study])
    masked, _, raw, random_init = comparison.entries
    assert masked.sample("linear_top1").values == (40.0, 41.0, 42.0)
    assert random_init.sample("linear_top1").values == (20.0, 21.0, 22.0)
    assert raw.sample("linear_top1").fixed
    assert estimate_metric(masked, "linear_top1").over == "seeds"


def test_with_one_seed_there_is_no_statement_and_the_bounds_say_what_they_cover(
    write_run, tmp_path
):
    for task in ("jigsaw", "masked"):
        write_run(tmp_path / task, task=task, linear_top1=40.0 if task == "masked" else 10.0)
    comparison = compare_runs([tmp_path])
    assert [pair.sentence for pair in comparison.pairs("linear_top1")] == [
        "masked and jigsaw: one seed: no statement (30.0 points apart)"
    ]
    assert sentences(comparison)[-1] == ALONE
    assert ALONE not in sentences(compare_runs([tmp_path / "jigsaw"]))
    assert estimate_metric(comparison.entries[0], "linear_top1").over == "images"
    assert not any(pair.decided for pair in comparison.against_floors("linear_top1"))


def test_an_unknown_metric_and_a_folder_without_runs(study, tmp_path):
    with pytest.raises(
        ValueError, match=r"--metric linear_top: no run has it; did you mean 'linear_top1'\?"
    ):
        compare_runs([study], metric="linear_top")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no finished run below"):
        compare_runs([tmp_path / "empty"])
    assert compare_runs([study], metric="knn20_top1").entries[0].name == "masked"
