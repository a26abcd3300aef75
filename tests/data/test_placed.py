"""What a path says: the place that holds it out or not, the side and the class that it names."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_patches.data.placed import ListedImages, below_of, in_folders, place, read_folders
from ssl_patches.data.walk import ImageFile


def test_the_rule_is_pinned_and_uniform() -> None:
    """Another machine, another release: the same images are held out."""
    assert [place(path) for path in ("a.png", "cat/0001.jpg", "ä/ö.png")] == [45, 49, 43]
    assert abs(np.mean([place(f"{i}.jpg") < 20 for i in range(5000)]) - 0.2) < 0.02


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("cat/1.png", (None, "", "cat/1.png")),
        ("train/cat/1.png", ("train", "train/", "cat/1.png")),
        ("bottle/test/1.png", ("test", "bottle/test/", "bottle/1.png")),
    ],
)
def test_the_folder_of_a_split_is_told_apart_from_the_rest(path: str, read: tuple) -> None:
    assert below_of(path) == read


def test_folders_come_in_the_order_of_their_first_images_with_their_counts() -> None:
    paths = ["a/1.png", "a/2.png", "b.png", "c/d/1.png"]
    images = ListedImages([ImageFile(path, 1) for path in paths])
    found = read_folders(images, plain=False)
    assert [(each.path, each.count, each.depth, each.name) for each in found] == [
        ("a/", 2, 1, "a"),
        ("", 1, 0, ""),
        ("c/d/", 1, 2, "c"),
    ]
    assert in_folders(images, [found[0], found[2]]).tolist() == [0, 1, 3]
