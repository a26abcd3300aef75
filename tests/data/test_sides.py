"""Folders named like splits are the splits; without one nothing is decided here."""

from __future__ import annotations

import pytest

from ssl_patches.data.placed import ListedImages, read_folders
from ssl_patches.data.sides import Sides, decide_sides
from ssl_patches.data.walk import ImageFile


def decided(*paths: str, told: bool = False) -> Sides:
    images = ListedImages([ImageFile(path, 1) for path in sorted(paths)])
    return decide_sides(read_folders(images, plain=False), told=told)


def test_val_is_held_out_and_test_kept_for_later() -> None:
    found = decided("train/a/1.png", "val/a/2.png", "test/a/3.png", "other/4.png")
    assert [each.path for each in found.train] == ["train/a/"]
    assert [each.path for each in found.held or []] == ["val/a/"]
    assert sorted(each.example for each in found.left) == ["other/4.png", "test/a/3.png"]


def test_without_folders_of_splits_nothing_is_held_out_here() -> None:
    found = decided("a/1.png", "b/2.png")
    assert (found.held, found.left, len(found.train)) == (None, [], 2)


def test_nothing_but_what_was_put_aside_is_refused() -> None:
    with pytest.raises(ValueError, match="put aside by its name"):
        decided("val/a/1.png")


def test_all_that_was_put_aside_is_named() -> None:
    with pytest.raises(ValueError, match=r"lie in val/ and test/, which .* call the folder"):
        decided("val/a/1.png", "test/a/2.png")
