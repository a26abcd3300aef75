"""Colours: at most ten, and only where they tell something."""

from __future__ import annotations

import numpy as np

from ssl_patches.studies.view.colourings import COLOURS, REST, Colouring, colourings
from ssl_patches.studies.view.kept import Points


def by(labels, names=None, classes=()) -> dict[str, Colouring]:
    count = len(labels)
    points = Points(
        vectors=np.zeros((count, 1), np.float32),
        places=np.zeros((count, 2), np.float32),
        clusters=np.zeros(count, np.int64),
        labels=np.array(labels),
        classes=list(classes),
        names=names or [f"train/{at}" for at in range(count)],
        thumbnails=[b""] * count,
        total=count,
    )
    return {one.title: one for one in colourings(points)}


def test_classes_are_named_the_most_frequent_first_and_the_unlabelled_are_grey():
    found = by([1, 1, 0, -1], classes=["cat", "dog"])["class"]
    assert found.names == ["dog (2)", "cat (1)"]
    assert found.of == [0, 0, 1, REST]
    assert found.rest == "without a label"


def test_beyond_ten_classes_the_rest_is_grey_and_counted():
    found = by([*range(COLOURS + 5), 0])["class"]
    assert (len(found.names), found.rest) == (COLOURS, "5 more")
    assert found.of.count(REST) == 5


def test_what_is_all_of_one_kind_is_no_colouring():
    assert by([-1] * 4) == {}
    assert by([3] * 4) == {}


def test_folders_are_those_below_the_root():
    found = by([-1, -1, -1], names=["a/1.png", "a/b/2.png", "3.png"])["folder"]
    assert sorted(found.names) == [". (1)", "a (1)", "a/b (1)"]


def test_amounts_are_ranges_and_missing_ones_are_grey():
    found = by([0.5, 1.5, 2.5, 3.5, 4.5, float("nan")])["label"]
    assert found.of == [0, 1, 2, 3, 4, REST]
    assert found.names[0].startswith("0.5 to")
    assert found.rest == "without a label"
