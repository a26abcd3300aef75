"""Labels mean what was written; what can be read in two ways is refused or told."""

from __future__ import annotations

import math
import random

import pytest

from ssl_patches.data.labels import MISSING, numbers_in, read_labels, said_alike


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        (["1", "20", "3"], [1, 20, 3]),
        (["0.5", "1e3", "-2"], [0.5, 1000, -2]),
        (["0,5", "1,25", "7"], [0.5, 1.25, 7]),
        (["0.5", "", "1"], [0.5, math.nan, 1]),
        (["1,5", "2.5"], None),
        (["1", "cat"], None),
        (["nan", "1"], None),
        (["", ""], None),
        (["1,000", "7"], None),
        (["0,125", "1,250"], [0.125, 1.25]),
    ],
)
def test_numbers_are_told_from_text(fields: list[str], numbers: list[float] | None) -> None:
    assert repr(numbers_in(fields)) == repr(numbers and [float(number) for number in numbers])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", [None, "value", "class"])
def test_what_stands_for_no_number_is_no_label_and_changes_no_other(seed: int, kind) -> None:
    """Whatever a program writes for a gap, the other labels are those of the list without it."""
    draw = random.Random(seed)
    decimals = draw.choice([0, 2])
    amounts = [f"{draw.uniform(0, 9):.{decimals}f}" for _ in range(draw.randint(1, 9))]
    gap = draw.choice(sorted(MISSING))
    gap = draw.choice([gap, gap.upper(), gap.title()])
    mixed = [*amounts, *[gap] * draw.randint(1, 4)]
    draw.shuffle(mixed)
    alone, found = (read_labels(fields, kind, "data.path=x") for fields in (amounts, mixed))
    assert (found.classes, found.numbers) == (alone.classes, alone.numbers)
    assert found.remarks[0].startswith(f"{mixed.count(gap)} images have '{gap}' among numbers")


def test_among_text_they_are_classes() -> None:
    assert read_labels(["None", "cat"], None, "w").classes == ["None", "cat"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["01", "1", "2"], r"labels '01' and '1', which are one number in two spellings"),
        (["1.0", "1"], r"labels '1' and '1.0', which are one number"),
        (["1e3", "1000"], r"one number in two spellings"),
        (["inf", "1.5"], r"label 'inf' among numbers, which is not finite"),
        (["-Infinity", "1"], r"not finite"),
        (["1,000", "2,000"], r"'1,000', whose comma may be of thousands or of decimals"),
        (["1,000.5", "2"], r"'1,000.5', whose comma .* \(1000.5\)"),
        (["1.250,75", "2"], r"may be of thousands"),
        (["1,2,3", "4"], r"data.label_kind=class"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(fields: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=rf"^data.path=x: .*{said}"):
        read_labels(fields, None, "data.path=x")


def test_the_kind_decides_what_two_spellings_are() -> None:
    assert read_labels(["01", "1"], "class", "w").classes == ["01", "1"]
    assert read_labels(["01", "1"], "value", "w").numbers == {"01": 1, "1": 1}
    assert read_labels(["1,2,3", "4"], "class", "w").classes == ["1,2,3", "4"]
    # equal as floats, and different numbers
    assert len(read_labels(["9007199254740993", "9007199254740992"], None, "w").classes) == 2


@pytest.mark.parametrize("other", ["CAT", "Cat", "\uff43at"])
def test_classes_that_look_like_one_are_told(other: str) -> None:
    assert said_alike(["cat", "dog"]) == []
    assert f"('{other}' and 'cat')" in said_alike([other, "cat", "dog"])[0]
    assert said_alike(["e\u0301", "\xe9"])
    assert len(read_labels([other, "cat", "dog"], None, "w").remarks) == 1
