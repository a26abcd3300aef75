"""npy is mapped; a picture is unpacked once, within the memory that is stated."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data.huge import flat
from ssl_patches.data.huge.flat import FlatImage, unpacked

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


def opened(path: Path, folder: Path, *, channels: int = 3, memory: int = 64) -> FlatImage:
    place = unpacked(str(path), channels=channels, memory=memory, folder=folder)
    return FlatImage(place, channels=channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_part_of_a_picture_is_that_part_of_its_pixels(channels: int, tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS).convert("L" if channels == 1 else "RGB")
    picture.save(tmp_path / "a.png")
    part = opened(tmp_path / "a.png", tmp_path / "kept", channels=channels).read((5, 7, 20, 30))
    whole = np.asarray(picture)[5:25, 7:37]
    assert np.array_equal(part.values, whole[None] if channels == 1 else whole.transpose(2, 0, 1))


def test_a_deep_picture_keeps_its_values(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    part = opened(tmp_path / "a.png", tmp_path / "kept", channels=1).read((1, 2, 30, 40)).values
    assert np.array_equal(part[0], values[1:31, 2:42])


def test_a_picture_is_turned_as_its_file_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    image = opened(tmp_path / "a.png", tmp_path / "kept")
    assert image.levels == ((70, 90),)
    whole = image.read((0, 0, 90, 70)).values
    assert np.array_equal(whole, np.rot90(PIXELS, -1).transpose(2, 0, 1))


def test_it_is_unpacked_once_and_anew_when_it_has_changed(tmp_path: Path, capsys) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    first = opened(tmp_path / "a.png", tmp_path / "kept").read((0, 0, 9, 9)).values
    again = opened(tmp_path / "a.png", tmp_path / "kept").read((0, 0, 9, 9)).values
    assert np.array_equal(first, again)
    assert capsys.readouterr().err.count("unpacked once") == 1
    Image.fromarray(255 - PIXELS).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", (1, 1))
    other = opened(tmp_path / "a.png", tmp_path / "kept").read((0, 0, 9, 9)).values
    assert np.array_equal(other, 255 - first)


def test_a_larger_one_is_refused_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(flat, "PICTURE_BYTES", 10**6)
    for name in ("a.png", "a.bmp"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(ValueError, match=r"MiB.*pip install 'ssl-patches\[geo\]'.*vips"):
        opened(tmp_path / "a.png", tmp_path / "kept")
    with pytest.raises(ValueError, match=r"MiB to decode, data.memory=64 .*vips"):
        opened(tmp_path / "a.bmp", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_row_by_row_it_has_the_same_pixels(mode: str, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("rasterio", reason="the extra [geo] is not installed")
    picture = Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]])).convert(mode)
    picture.save(tmp_path / "a.png")
    whole = opened(tmp_path / "a.png", tmp_path / "one").read((0, 0, 70, 90)).values
    monkeypatch.setattr(flat, "PICTURE_BYTES", 10**6)
    rows = opened(tmp_path / "a.png", tmp_path / "two").read((0, 0, 70, 90)).values
    assert np.abs(whole.astype(int) - rows).max() <= (mode == "RGBA")


@pytest.mark.parametrize("shape", [(5, 70, 90), (70, 90, 5)])
def test_npy_is_mapped_in_either_order(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.arange(70 * 90 * 5, dtype=np.uint16).reshape(shape)
    np.save(tmp_path / "a.npy", values)
    first = values if shape[0] == 5 else values.transpose(2, 0, 1)
    part = FlatImage(str(tmp_path / "a.npy"), channels=5).read((3, 4, 20, 30)).values
    assert np.array_equal(part, first[:, 3:23, 4:34])
    with pytest.raises(ValueError, match="one axis must have that length"):
        FlatImage(str(tmp_path / "a.npy"), channels=4)
