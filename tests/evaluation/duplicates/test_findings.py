"""The largest file of a group is kept, what lies far out is odd, and no name is a formula."""

from __future__ import annotations

import csv

import numpy as np

from ssl_patches.evaluation.duplicates.findings import (
    Image,
    across_splits,
    findings,
    write_csv,
    wrote_findings,
)
from ssl_patches.evaluation.duplicates.neighbours import Nearest


def test_copies_and_outliers_are_told_and_written_without_formulas(tmp_path):
    images = [Image("=1+1.png", "train", 5), Image("b.png", "val", 9), Image("c\x1b.png", "val")]
    images += [Image(f"{at}.png", "train") for at in range(9)]
    rows = np.eye(12, dtype=np.float32)
    rows[0] = rows[1]
    distance = np.ones((12, 2), np.float32)
    distance[2] = 3
    group = np.array([1, 1, *range(2, 12)])
    near = Nearest(np.zeros((12, 2), int), distance)
    found = findings(images, rows, group, near, outlier=4)
    assert [(one.kept, one.copies) for one in found.groups] == [(1, [0])]
    assert found.outliers == [2]
    assert across_splits(images, found) == 1
    assert write_csv(tmp_path / "a.csv", images, found) == 2
    assert wrote_findings(tmp_path / "a.csv")
    lines = list(csv.reader((tmp_path / "a.csv").open()))[1:]
    assert [line[0] for line in lines] == ["'=1+1.png", "c\\x1b.png"]
