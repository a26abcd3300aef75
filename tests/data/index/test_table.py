"""Paths made on demand are those of a list."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from ssl_patches.data.index.lists import listed_table
from ssl_patches.data.index.table import Paths, suffixes_of
from ssl_patches.data.suffixes import SUFFIXES


def drawn(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    folders = ["", "a/", "a/b/", "ä/", "c d/", "/abs/", "../up/"]
    ends = ["x", "é" * 9, "\udc80", "y" * 200]
    return [f"{draw.choice(folders)}{at}{draw.choice(ends)}.png" for at in range(count)]


@pytest.mark.parametrize(("seed", "count"), [(0, 0), (1, 1), (2, 63), (3, 64), (4, 65), (5, 500)])
def test_a_table_is_a_list_of_names(seed, count) -> None:
    names = drawn(seed, count)
    table = listed_table(names, "root", channels=3)
    assert [table.name(at) for at in range(count)] == names
    rows = np.arange(count)[np.random.default_rng(seed).random(count) < 0.3]
    for whole, wanted in ((False, names), (True, [os.path.join("root", each) for each in names])):
        paths = Paths(table, rows, whole=whole)
        assert list(paths) == [wanted[at] for at in rows] == paths
        assert [paths[at] for at in range(len(paths))] == paths
        assert list(paths[1:9:2]) == list(paths)[1:9:2]
        assert paths != [*paths, "another"]
    taken = table.take(rows)
    assert taken.names_between(0, len(taken)) == [names[at] for at in rows]


def test_few_of_many_are_made_one_by_one() -> None:
    names = drawn(7, 2000)
    table = listed_table(names, "root", channels=3)
    rows = np.array([3, 1999])
    assert list(Paths(table, rows, whole=False)) == [names[3], names[1999]]


def test_suffixes_are_numbers_in_the_list_of_them() -> None:
    found = suffixes_of(["a.PNG", "b.tif", "c", "d.txt", "e.png.npy"])
    assert [SUFFIXES[at] if at < 255 else "" for at in found] == [".png", ".tif", "", "", ".npy"]
