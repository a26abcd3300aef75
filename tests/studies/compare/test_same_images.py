"""Two trainings of one seed are told apart on the same test images, and no more is claimed."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.evaluation import PROTOCOL, Record
from ssl_patches.evaluation.record import mcnemar
from ssl_patches.studies.compare.comparison import compare_runs
from ssl_patches.studies.compare.same_images import LEGEND
from ssl_patches.studies.compare.table import sentences

N = 200
LABELS = torch.arange(N) % 4


def right_on(count: int) -> torch.Tensor:
    return torch.where(torch.arange(N) < count, LABELS, LABELS + 1)


def leave(run, right: int, **changes) -> None:
    """Write the predictions of a run, ``right`` of them, and of random weights, 20 of them."""
    kept = {
        "rows": [],
        "kind": "class",
        "index": torch.arange(N),
        "labels": LABELS,
        "predictions": {"linear": right_on(right)},
        "floors": {"random_init": {"linear": right_on(20)}},
        "chosen": {},
        "protocol": PROTOCOL,
        "data": {"name": "toy", "image_size": 32},
    }
    Record(**kept | changes).save(run / "evaluation.npz")


@pytest.fixture
def two(write_run, tmp_path):
    runs = [
        write_run(tmp_path / task, task=task, linear_top1=40.0) for task in ("jigsaw", "masked")
    ]
    for run, right in zip(runs, (60, 80), strict=True):
        leave(run, right)
    return runs


def test_images_speak_where_seeds_cannot_and_decide_nothing(two, tmp_path):
    comparison = compare_runs([tmp_path])
    (pair,) = comparison.pairs("linear_top1")
    p = mcnemar(right_on(80), right_on(60), LABELS)[2]
    assert p < 0.001
    assert (pair.first, pair.second) in {("jigsaw", "masked"), ("masked", "jigsaw")}
    alone = "20 and 0" if pair.first == "masked" else "0 and 20"
    assert f"right alone on {alone} of {N} images" in pair.sentence
    assert "one seed: no statement" in pair.sentence
    assert "p < 0.001 (McNemar)" in pair.sentence
    assert not pair.decided
    assert sentences(comparison)[-1] == LEGEND, "the longer command would say the same"


def test_a_floor_is_that_of_the_run_beside_it(two, tmp_path):
    found = compare_runs([tmp_path]).against_floors("linear_top1")
    said = {(pair.first, pair.second): pair.images for pair in found}
    assert "right alone on 40 and 0 of" in said["jigsaw", "random_init"]
    assert "right alone on 60 and 0 of" in said["masked", "random_init"]
    assert said["jigsaw", "raw_pixels"] == "", "whose predictions a record of before lacks"


@pytest.mark.parametrize(
    "changes",
    [
        {"index": torch.arange(N) + 1},
        {"labels": LABELS.flip(0)},
        {"protocol": {**PROTOCOL, "version": -1}},
        {"predictions": {"knn20": right_on(80)}},
    ],
)
def test_other_images_or_another_protocol_say_nothing(two, tmp_path, changes):
    leave(two[1], 80, **changes)
    (pair,) = compare_runs([tmp_path]).pairs("linear_top1")
    assert pair.images == ""


def test_with_two_seeds_the_seeds_speak(two, write_run, tmp_path):
    leave(write_run(tmp_path / "again", task="masked", seed=1, linear_top1=41.0), 80)
    (pair,) = compare_runs([tmp_path]).pairs("linear_top1")
    assert pair.images == ""
