"""One sentence says which encoder from how many labels on, and calls a tie a tie."""

import pytest
from curves import curve, point

from ssl_patches.evaluation.efficiency.advice import (
    SCRATCH,
    advice,
    named,
    ours_less_others,
    saved,
    stands_to,
)
from ssl_patches.evaluation.efficiency.curve import Curve

OURS = curve("trained", {1: 60.0, 10: 70.0, None: 75.0})
THEIRS = curve("mobilenet", {1: 50.0, 10: 69.0, None: 90.0})


def test_ours_where_it_is_above_theirs_where_they_are():
    assert advice([OURS, THEIRS], ours="trained") == (
        "Which encoder, by labels per class: frozen: ours at 1 to 10, mobilenet at all (200)."
    )


def test_a_difference_within_its_interval_is_not_told_apart():
    wide = Curve(
        model="mobilenet",
        column="linear",
        metric="top1",
        points=[point(1, [50.0, 59.0, 66.0]), *THEIRS.points[1:]],
    )
    assert "ours not told from mobilenet at 1, ours at 10" in advice([OURS, wide], ours="trained")
    assert stands_to(OURS, [wide], 1)[0] == 0
    assert stands_to(OURS, [THEIRS], None)[0] == -1


def test_the_strongest_of_the_others_is_asked_floors_too():
    pixels = curve("raw_pixels", {1: 80.0, 10: 20.0, None: 20.0})
    assert "raw pixels at 1, ours at 10, mobilenet at all" in advice(
        [OURS, THEIRS, pixels], ours="trained"
    )


def test_training_from_labels_alone_is_told_only_where_it_never_leads():
    tuned = curve("trained", {1: 60.0, None: 80.0}, column="finetune")
    for value, never in ((70.0, True), (85.0, False)):
        scratch = curve("random_init", {1: 50.0, None: value}, column="scratch")
        said = advice([OURS, THEIRS, tuned, scratch], ours="trained")
        assert ("training from labels alone never" in said) == never
        assert "fine-tuned: ours at 1" in said
    assert named(scratch) == "training from labels alone"


def test_saved_labels_are_read_off_the_rivals_curve():
    lines = saved([OURS, THEIRS], ours="trained")
    assert lines[0] == ("labels per class: for what ours does with 1 mobilenet needs 3: 2 saved")
    assert "needs 12: 2 saved" in lines[1]
    assert lines[2].endswith("at most: none saved")
    better = curve("trained", {1: 95.0})
    assert "more than all 200" in saved([better, THEIRS], ours="trained")[0]


def test_differences_are_of_one_column_and_say_what_the_sentence_says():
    tuned = curve("trained", {1: 60.0, None: 80.0}, column="finetune")
    scratch = curve("random_init", {1: 50.0, None: 70.0}, column="scratch")
    found = ours_less_others([OURS, THEIRS, tuned, scratch], ours="trained")
    assert [(row["column"], row["other"], row["labels"]) for row in found] == [
        *(("linear", "mobilenet", number) for number in ("1", "10", "all")),
        *(("finetune", SCRATCH, number) for number in ("1", "all")),
    ]
    assert [row["difference"] for row in found[:3]] == pytest.approx([10, 1, -15])
    for row in found[:3]:
        number = None if row["labels"] == "all" else int(row["labels"])
        stands = stands_to(OURS, [THEIRS], number)[0]
        assert stands == (row["low"] > 0) - (row["high"] < 0)
    assert ours_less_others([OURS], ours="trained") == []


def test_without_others_nothing_is_said_and_a_number_nobody_has_is_refused():
    assert advice([OURS], ours="trained") == ""
    assert saved([OURS], ours="trained") == []
    with pytest.raises(ValueError, match="number=7"):
        stands_to(OURS, [THEIRS], 7)
