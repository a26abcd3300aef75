"""A header states what decoding then gives, for every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.headers import extent_of_bytes, header, is_turned

PICTURES = ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tif", "a.ppm"]


def stored(folder: Path, name: str, **options: object) -> str:
    Image.new("RGB", (24, 16), "red").save(folder / name, **options)
    return str(folder / name)


@pytest.mark.parametrize("name", PICTURES)
def test_the_extent_is_that_of_the_picture_also_of_its_bytes(tmp_path: Path, name: str) -> None:
    path = stored(tmp_path, name)
    assert header(path) == (24, 16)
    assert extent_of_bytes(Path(path).read_bytes()) == (24, 16)


@pytest.mark.parametrize("write", [np.save, np.savez])
def test_that_of_an_array_too(tmp_path: Path, write) -> None:
    path = tmp_path / ("a.npy" if write is np.save else "a.npz")
    write(path, np.zeros((16, 24, 3), np.uint8))
    assert header(str(path)) == (24, 16)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_pictures_have_one_or_three_channels(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableImage, match=r"data.channels=5: set data.channels=3"):
        header(stored(tmp_path, name), channels=5)


def test_damage_is_the_one_error_and_no_extent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage):
        header(str(tmp_path / "a.png"))
    assert extent_of_bytes(b"no picture") is None
    assert not is_turned(str(tmp_path / "a.png"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_picture_that_lies_otherwise_than_it_is_shown_is_turned(
    tmp_path: Path, name: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    assert is_turned(stored(tmp_path, name, exif=exif)) == (orientation > 1)
