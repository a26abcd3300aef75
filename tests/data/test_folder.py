"""A folder is read as what it is: its splits, its classes, its damage."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from noise_files import many, put, put_damaged, source

# --- items


def test_items_are_squares_with_label_and_index(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png")
    data = source(tmp_path, channels=1, load_size=10)
    image, label, index = data[1]
    assert (image.shape, image.dtype, label, index) == ((1, 10, 10), torch.uint8, 1, 1)
    assert len(list(data)) == 2  # iterating ends: IndexError beyond the last
    with pytest.raises(IndexError):
        data[-1]


def test_the_fingerprint_knows_names_and_sizes_but_not_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path / name, *many("train/{}.png", 3), "val/1.png")
    one, two = (source(tmp_path / name).fingerprint() for name in ("one", "two"))
    assert one == two
    assert source(tmp_path / "one", "val").fingerprint() != one
    put(tmp_path / "two", "train/1.png", side=13)
    assert source(tmp_path / "two").fingerprint() != one


# --- damage


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return put_damaged(tmp_path)


def test_files_with_a_broken_header_are_left_out_and_listed_with_the_reason(damaged: Path) -> None:
    data = source(damaged, max_corrupt=0.5)
    listed = {os.path.basename(path): reason for path, reason in data.corrupt}
    assert set(listed) == {"01.jpg", "02.jpg", "03.png", "04.png"}
    assert "cannot identify" in listed["03.png"]
    assert "No such file" in listed["04.png"]
    assert not {path for path, _ in data.corrupt} & set(data.paths)
    assert len(data) == 39
    assert len(data.labels) == 39


def test_a_folder_where_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_text("x")
    with pytest.raises(ValueError, match=r"data.root=.* none of \d is .*cannot identify"):
        source(tmp_path, max_corrupt=0.99)


# --- refusals


def test_a_missing_or_wrong_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"data.root=.*/nowhere: must be a folder of images, but does not exist; set",
    ):
        source(tmp_path / "nowhere")
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data.root=.*a.tar: .*unpack"):
        source(tmp_path / "a.tar")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(
        ValueError,
        match=r"data.root=.*must hold images for train, but has 0 images .* 1 other files",
    ):
        source(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "test"}, "data.split=test: must be train or val"),
        ({"channels": 4}, "data.channels=4: .*set data.channels=3"),
        ({"load_size": 7}, r"load_size=7: must be at least image_size \(8\)"),
        ({"max_corrupt": 1.0}, "data.max_corrupt=1.0"),
        ({"image_size": 0}, "image_size=0"),
    ],
)
def test_wrong_values_are_refused_by_key(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    put(tmp_path, *many("{}.png", 4))
    with pytest.raises(ValueError, match=said):
        source(tmp_path, **options)


def test_a_source_can_be_pickled(tmp_path: Path) -> None:
    put(tmp_path, *many("{}.png", 4))
    data = source(tmp_path)
    assert torch.equal(pickle.loads(pickle.dumps(data))[0][0], data[0][0])
