"""Classes are the folders of CLASS/file, where all images but a few lie so."""

from __future__ import annotations

from ssl_patches.data.class_folders import ClassReading, read_classes
from ssl_patches.data.placed import ListedImages, read_folders
from ssl_patches.data.walk import ImageFile


def read(*paths: str) -> ClassReading:
    images = ListedImages([ImageFile(path, 1) for path in sorted(paths)])
    return read_classes(read_folders(images, plain=False))


def test_two_folders_are_classes_and_one_is_none() -> None:
    assert read("a/1.png", "b/1.png").classes == ["a", "b"]
    assert read("a/1.png", "a/2.png").classes == []


def test_a_few_that_lie_elsewhere_are_told_and_many_take_the_labels_away() -> None:
    few = read("a/1.png", "b/1.png", "c.png")
    assert (few.classes, [each.count for each in few.left]) == (["a", "b"], [1])
    many = read("a/1.png", "b/1.png", *(f"{at}.png" for at in range(3)))
    assert (many.classes, [each.count for each in many.left]) == ([], [3])
