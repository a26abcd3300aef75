"""Maps in the cache: as they were, or not at all."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from ssl_patches.studies.view import kept
from ssl_patches.studies.view.kept import Points, file_of, keep_points, read_points


@pytest.fixture
def points() -> Points:
    return Points(
        vectors=np.arange(6, dtype=np.float32).reshape(3, 2),
        places=np.eye(3, 2, dtype=np.float32),
        clusters=np.array([0, 1, 0]),
        labels=np.array([2, -1, 0]),
        classes=["a", "<b>", "ü"],
        names=["x/1.png", "y.png", "\\udcfc.png"],
        thumbnails=[b"one", b"", b"three"],
        total=9,
    )


def test_what_is_kept_comes_back(points, tmp_path):
    assert keep_points(tmp_path / "new" / "a.npz", points)
    found = read_points(tmp_path / "new" / "a.npz")
    assert found is not None
    for name, value in vars(points).items():
        np.testing.assert_array_equal(vars(found)[name], value)


def test_damage_is_absence(points, tmp_path):
    file = tmp_path / "a.npz"
    assert read_points(file) is None
    keep_points(file, points)
    whole = file.read_bytes()
    for damaged in (whole[:-200], b"", b"PK\3\4" + bytes(50), whole[:300] + whole[340:]):
        file.write_bytes(damaged)
        assert read_points(file) is None
    keep_points(file, replace(points, names=["only one"]))
    assert read_points(file) is None


def test_the_oldest_go_and_files_of_others_stay(points, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST", 2)
    (tmp_path / "notes.txt").write_text("mine")
    for at in range(4):
        keep_points(tmp_path / f"{at}.npz", points)
        os.utime(tmp_path / f"{at}.npz", (at, at))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2.npz", "3.npz", "notes.txt"]


def test_a_cache_that_cannot_be_written_is_done_without(points, tmp_path):
    (tmp_path / "file").write_text("")
    assert not keep_points(tmp_path / "file" / "a.npz", points)
    assert file_of(None) is None
