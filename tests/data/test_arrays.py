"""Arrays become levels by a rule that is stated, whatever their depth, channels and order of
axes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ssl_patches.data import FolderSource, UnreadableImage, decode
from ssl_patches.data.arrays import channels_first, levels
from ssl_patches.data.decode import square_of_array
from ssl_patches.data.headers import header

RNG = np.random.default_rng(0)


def test_whole_numbers_are_scaled_by_their_range_and_floats_by_0_to_1() -> None:
    assert levels(np.array([0, 257, 65535], np.uint16), None).tolist() == [0, 1, 255]
    assert levels(np.array([0.0, 1.0], np.float32), None).tolist() == [0, 255]
    assert levels(np.array([0, 7, 255], np.uint8), None).tolist() == [0, 7, 255]


def test_a_stated_range_is_a_window_that_clips() -> None:
    found = levels(np.array([-2000, -1000, -300, 400, 3000], np.int16), (-1000, 400))
    assert found.tolist() == [0, 0, 127.5, 255, 255]
    assert levels(np.array([0, 4095], np.uint16), (0, 4095)).tolist() == [0, 255]
    assert levels(np.array([7], np.uint8), (0, 100)).tolist() == [7]  # 8 bits are levels already


@pytest.mark.parametrize(
    "values", [np.array([-1, 3], np.int16), np.array([0.0, 1.5]), np.array([0, 9], np.int8)]
)
def test_values_without_a_known_range_are_refused_with_the_key_that_gives_one(
    values: np.ndarray,
) -> None:
    with pytest.raises(ValueError, match=r"data.value_range=\[LOW,HIGH\]"):
        levels(values, None)


def test_nan_has_no_place_in_a_window_either() -> None:
    for value_range in (None, (0, 1)):
        with pytest.raises(ValueError, match="not finite"):
            levels(np.array([0.0, np.nan]), value_range)


def test_the_channel_axis_is_the_one_of_that_length_the_last_first() -> None:
    assert channels_first(np.zeros((8, 9, 5)), channels=5).shape == (5, 8, 9)
    assert channels_first(np.zeros((5, 8, 9)), channels=5).shape == (5, 8, 9)
    assert channels_first(np.zeros((8, 9)), channels=1).shape == (1, 8, 9)
    both = np.arange(3 * 4 * 3).reshape(3, 4, 3)
    assert np.array_equal(channels_first(both, channels=3), np.moveaxis(both, 2, 0))
    assert np.array_equal(channels_first(both, channels=3, last=False), both)
    with pytest.raises(ValueError, match=r"shape \(8, 9, 4\), 4 channels, and data.channels=5"):
        channels_first(np.zeros((8, 9, 4)), channels=5)


def test_an_array_is_cut_and_resized_like_a_picture() -> None:
    picture = RNG.integers(0, 256, (30, 44, 3), dtype=np.uint8)
    small = np.asarray(
        Image.fromarray(picture).crop((7, 0, 37, 30)).resize((12, 12), Image.Resampling.BILINEAR)
    )
    found = square_of_array(np.moveaxis(picture, 2, 0), channels=3, size=12)
    assert np.abs(found.permute(1, 2, 0).int().numpy() - small).max() <= 1


def stored(folder: Path, name: str, values: np.ndarray) -> str:
    path = folder / name
    (
        np.save(path, values)
        if name.endswith(".npy")
        else tifffile.imwrite(path, values, compression="deflate")
    )
    return str(path)


@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
@pytest.mark.parametrize("channels", [1, 2, 5, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_number_of_channels_comes_back_in_order_from_npy_and_tiff(
    tmp_path: Path, name: str, channels: int, dtype: type
) -> None:
    level = np.arange(channels, dtype=np.uint8) * 19
    scale = {np.uint8: 1, np.uint16: 257, np.float32: np.float32(1 / 255)}[dtype]
    values = np.broadcast_to(
        (level.astype(dtype) * dtype(scale))[:, None, None], (channels, 16, 18)
    )
    path = stored(tmp_path, name, values[0] if channels == 1 else np.ascontiguousarray(values))
    assert header(path, channels=channels) == (18, 16)
    found = decode(path, channels=channels, size=8)
    assert found.shape == (channels, 8, 8)
    assert torch.equal(found[:, 0, 0], torch.from_numpy(level))


def test_twelve_bits_in_a_colour_tiff_need_a_range_and_get_it(tmp_path: Path) -> None:
    path = stored(tmp_path, "a.tif", np.full((8, 8, 3), 4095, np.uint16))
    assert decode(path, channels=3, size=8).max() <= 16  # dark without one
    assert decode(path, channels=3, size=8, value_range=(0, 4095)).min() == 255


def test_twelve_bits_in_a_png_too(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "a.png")
    assert decode(str(tmp_path / "a.png"), channels=1, size=8, value_range=(0, 4095)).min() == 255


@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
def test_a_damaged_array_is_the_one_error(tmp_path: Path, name: str) -> None:
    path = Path(stored(tmp_path, name, RNG.integers(0, 65535, (5, 40, 40), dtype=np.uint16)))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(UnreadableImage):
        decode(str(path), channels=5, size=8)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableImage):
        header(str(path), channels=5)


def test_npy_that_hides_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableImage, match="Python objects"):
        decode(str(tmp_path / "a.npy"), channels=1, size=8)


def folder(tmp_path: Path, count: int = 6) -> Path:
    for at in range(count):
        stored(tmp_path, f"{at}.npy", RNG.integers(0, 4096, (4, 20, 20), dtype=np.uint16))
    return tmp_path


def test_a_folder_of_npy_is_a_source_of_many_channels(tmp_path: Path) -> None:
    data = FolderSource(
        root=str(folder(tmp_path)), split="train", image_size=8, channels=4, value_range=(0, 4095)
    )
    image, label, _ = data[0]
    assert (image.shape, label) == ((4, 16, 16), -1)
    assert image.max() > 200


def test_npy_files_beside_pictures_are_not_images(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(folder(tmp_path, 2) / "a.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png")
    data = FolderSource(root=str(tmp_path), split="train", image_size=8)
    assert (len(data.paths), data.ignored) == (1, 2)


def test_the_wrong_number_of_channels_says_what_the_files_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of 6 is .*4 channels, and data.channels=3"):
        FolderSource(root=str(folder(tmp_path, 7)), split="train", image_size=8)


def test_a_range_is_two_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.value_range=\[5, 5\]: two numbers low < high"):
        FolderSource(
            root=str(folder(tmp_path)), split="train", image_size=8, channels=4, value_range=(5, 5)
        )


def test_without_tifffile_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(4):
        stored(tmp_path, f"{at}.tif", np.zeros((5, 20, 20), np.uint8))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"need tifffile.*pip install 'ssl-patches\[tiff\]'"):
        FolderSource(root=str(tmp_path), split="train", image_size=8, channels=5)
