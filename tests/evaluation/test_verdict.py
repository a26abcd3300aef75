"""The verdict says what intervals say: better than both floors, or which floor is not cleared."""

from __future__ import annotations

import pytest

from ssl_patches.evaluation.rows import Row
from ssl_patches.evaluation.verdict import coarse, standing, verdict


def row(model: str, value: float, metric: str = "linear_top1", wide: float = 1.0) -> Row:
    return Row(model, "d", metric, value, value - wide, value + wide, 1000)


def test_above_both_floors_in_both_metrics() -> None:
    rows = [
        row(model, value, metric)
        for metric in ("knn1_top1", "knn20_top1", "linear_top1")
        for model, value in (("trained", 60), ("random_init", 40), ("raw_pixels", 42))
    ]
    assert verdict(rows) == (
        "It helped: above random weights and raw pixels in linear_top1 and knn20_top1."
    )


@pytest.mark.parametrize(("value", "word"), [(40.5, "not told from"), (35.0, "below")])
def test_a_floor_that_is_not_cleared_is_named(value: float, word: str) -> None:
    said = verdict([row("trained", value), row("random_init", 40), row("raw_pixels", 20)])
    assert said.startswith("It did not help yet")
    assert f"is {word} random weights 40.0" in said
    assert "raw pixels" not in said


@pytest.mark.parametrize(("value", "easy"), [(100.0, True), (98.0, False)])
def test_labels_that_a_floor_tells_already_are_called_too_easy(value: float, easy: bool) -> None:
    said = verdict([row("trained", value), row("random_init", value)])
    assert said.startswith("It did not help yet")
    assert ("nothing is left to gain" in said) is easy


def test_of_errors_less_is_better() -> None:
    assert standing(row("trained", 1, "linear_mae", 0.1), row("raw_pixels", 2, "linear_mae")) == 0
    assert standing(row("trained", 1, "x_mae", 0.1), row("raw_pixels", 3, "x_mae")) == 1
    assert standing(row("trained", 5, "x_mae", 0.1), row("raw_pixels", 3, "x_mae")) == -1


def test_without_floors_nothing_is_said() -> None:
    assert verdict([]) == ""
    assert verdict([row("trained", 50)]) == ""
    assert verdict([row("trained", 50), row("random_init", 3, "knn20_top1")]) == ""


@pytest.mark.parametrize(("value", "said"), [(74.9, True), (75.0, False), (99.0, False)])
def test_a_grid_that_is_too_coarse_for_masks_is_told(value: float, said: bool) -> None:
    floors = [row("raw_pixels", 10, "miou_ceiling"), row("trained", 20, "miou_linear")]
    told = coarse([*floors, row("trained", value, "miou_ceiling")])
    assert (f"a mean IoU of {value} at most" in told and "encoder.patch_size" in told) is said
    assert coarse(floors) == ""
