"""Whatever a reader raises on a file becomes one error that names it."""

from __future__ import annotations

import pickle

import pytest

from ssl_patches.data.damage import DAMAGE, HugeImageFile, UnreadableImage, reading
from ssl_patches.data.opening import TooLarge


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_readers_raise_becomes_the_one_error(kind: type[Exception]) -> None:
    with pytest.raises(UnreadableImage, match=r"^a\.png: ") as told, reading("a.png"):
        raise kind("two\nlines")
    assert told.value.path == "a.png"
    assert "\n" not in str(told.value)


def test_a_file_that_is_too_large_is_told_apart() -> None:
    with pytest.raises(HugeImageFile, match=r"a\.png: of 9 pixels"), reading("a.png"):
        raise TooLarge("of 9 pixels")


def test_a_fault_of_ours_is_none_of_the_file() -> None:
    with pytest.raises(AssertionError), reading("a.png"):
        raise AssertionError


def test_the_error_survives_the_way_out_of_a_worker() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage("a.jpg", "is empty")))
    assert (error.path, error.reason, str(error)) == ("a.jpg", "is empty", "a.jpg: is empty")
