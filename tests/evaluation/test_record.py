"""Records of answers, and two of them compared on the same images."""

import os

import pytest
import torch

from ssl_patches.evaluation import PROTOCOL, Record, paired
from ssl_patches.evaluation.record import mcnemar, paired_table
from ssl_patches.evaluation.rows import Row

N = 400


def record(answers, *, labels=None, kind="class", **changes):
    labels = torch.arange(len(answers)) % 4 if labels is None else labels
    given = {
        "rows": [Row("trained", "toy", "knn20_top1", 1.0, 0.5, 2.0, len(labels))],
        "kind": kind,
        "labels": labels,
        "index": torch.arange(len(labels)),
        "predictions": {"knn20": answers},
        "chosen": {"linear": {"strength": 1e-3}},
        "protocol": PROTOCOL,
        "data": {
            "name": "toy",
            "image_size": 32,
            "limits": [None, None],
            "fingerprints": ["a", "b"],
        },
    }
    return Record(**given | changes)  # fmt: skip


def right_at(*places):
    answers = (torch.arange(N) + 1) % 4
    for start, stop in places:
        answers[start:stop] = torch.arange(start, stop) % 4
    return record(answers)


def test_a_record_comes_back_as_it_was_and_is_compact(tmp_path):
    of_floor = {"raw_pixels": {"knn20": right_at((0, 9)).predictions["knn20"]}}
    first = record(
        right_at((0, 100)).predictions["knn20"],
        classes=["ant", "bee", "cat", "dog"],
        floors=of_floor,
    )
    first.save(tmp_path / "evaluation.npz")
    again = Record.load(tmp_path / "evaluation.npz")
    assert again.rows == first.rows
    assert again.classes == ["ant", "bee", "cat", "dog"]
    assert again.protocol == PROTOCOL
    assert torch.equal(again.predictions["knn20"], first.predictions["knn20"])
    assert paired(again, first)[0].difference == 0
    assert again.of("raw_pixels").predictions["knn20"].equal(of_floor["raw_pixels"]["knn20"])
    assert again.of("random_init").predictions == {}
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.npz"]
    big = record(torch.randint(10, (10_000,)), labels=torch.randint(10, (10_000,)))
    big.save(tmp_path / "big.npz")
    assert (tmp_path / "big.npz").stat().st_size < 40_000


def test_what_a_killed_evaluation_left_goes_with_the_next_one(tmp_path):
    left = tmp_path / ".evaluation.npz.0123abcd.half"
    left.write_bytes(b"torn")
    os.utime(left, (0, 0))
    right_at((0, 100)).save(tmp_path / "evaluation.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.npz"]


def test_pairs_tell_apart_what_two_intervals_cannot():
    first, second = right_at((0, 220)), right_at((0, 200))  # 55 % and 50 %: Wilson's overlap by far
    (pair,) = paired(first, second)
    assert pair.difference == pytest.approx(5)
    assert 2.5 < pair.low < 5 < pair.high < 8
    assert (pair.only_first, pair.only_second) == (20, 0)
    assert pair.p == pytest.approx(2 * 0.5**20)
    (turned,) = paired(second, first)
    assert (turned.difference, turned.low, turned.high) == pytest.approx(
        (-pair.difference, -pair.high, -pair.low)
    )


def test_models_that_differ_by_chance_are_not_told_apart():
    (pair,) = paired(right_at((0, 200)), right_at((10, 210)))  # ten images each way
    assert pair.difference == 0
    assert pair.low < 0 < pair.high
    assert pair.p == 1


def test_mcnemar_is_the_exact_binomial_of_the_images_on_which_they_differ():
    labels = torch.zeros(20).long()
    first, second = torch.ones(20).long(), torch.ones(20).long()
    first[:8], second[8:10] = 0, 0
    only_first, only_second, p = mcnemar(first, second, labels)
    assert (only_first, only_second) == (8, 2)
    assert p == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(first, first, labels)[2] == 1


def test_numbers_and_yes_no_labels_are_compared_by_bootstrap_alone():
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(N, 1, generator=draw)
    close, far = (values + scale * torch.randn(N, 1, generator=draw) for scale in (0.1, 1.0))
    found = {
        pair.metric: pair
        for pair in paired(*(record(part, labels=values, kind="value") for part in (close, far)))
    }
    assert found["knn20_r2"].low > 50
    assert found["knn20_mae"].high < 0
    assert found["knn20_r2"].p is None
    assert [row.metric for row in found["knn20_mae"].rows(data="toy")] == ["knn20_mae"]
    assert "-" in paired_table(list(found.values()))
    (tags,) = paired(*(record(part, labels=values > 0, kind="multilabel") for part in (close, far)))
    assert tags.metric == "knn20_map"
    assert tags.low > 0


def test_rows_of_a_pair_have_the_columns_of_every_result():
    (pair,) = paired(right_at((0, 220)), right_at((0, 200)))
    rows = [row.as_dict() for row in pair.rows(data="toy")]
    assert [(row["model"], row["metric"], row["n"]) for row in rows] == [
        ("difference", "knn20_top1", N),
        ("difference", "knn20_top1_p", N),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"index": torch.arange(N) + 1}, "other test images"),
        ({"labels": torch.zeros(N).long()}, "other test images"),
        ({"protocol": PROTOCOL | {"version": 1}}, "protocol 2 and the other of 1"),
        (
            {
                "data": {
                    "name": "toy",
                    "image_size": 32,
                    "limits": [50, None],
                    "fingerprints": ["a", "b"],
                }
            },
            "other images",
        ),
    ],
)
def test_records_of_other_images_or_another_protocol_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        paired(right_at((0, 9)), record(right_at((0, 9)).predictions["knn20"], **changes))


def test_a_file_that_is_no_record_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        Record.load(tmp_path / "evaluation.npz")
    (tmp_path / "evaluation.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read"):
        Record.load(tmp_path / "evaluation.npz")
