"""One place knows the names of splits."""

from __future__ import annotations

import random

import pytest

from ssl_patches.data.splits import SIDES, held_of, side_of


@pytest.mark.parametrize("seed", range(20))
def test_a_name_is_known_in_any_case_with_numbers_and_words_that_say_nothing(seed: int) -> None:
    draw = random.Random(seed)
    for name, side in SIDES.items():
        written = draw.choice([name, name.upper(), name.capitalize()])
        written += draw.choice(["", "_set", "-images", "2017", " data", "_split", "set"])
        written = draw.choice(["", "images_", "1-"]) + written
        assert side_of(written) == side, written


@pytest.mark.parametrize(
    "name", ["cat", "invalid", "trains", "contest", "value", "testament", "2017", "", "set", "tr"]
)
def test_other_names_are_no_splits(name: str) -> None:
    assert side_of(name) is None


def test_val_is_evaluated_on_before_test() -> None:
    assert held_of(["train", "test", None, "val"]) == "val"
    assert held_of(["test", "train"]) == "test"
    assert held_of(["train", None]) is None
