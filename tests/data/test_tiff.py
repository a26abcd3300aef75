"""What the header of a TIFF says is done, or the file is refused by what is not done."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from containers import as_tiff
from PIL import Image

from ssl_patches.data import FolderSource
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.stored import TRANSPOSE
from ssl_patches.data.tiff import header_of

RAMP = (np.arange(12 * 16).reshape(12, 16) * 255 // 191).astype(np.uint8)
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], -1)
SHORT, TEXT = 3, 2  # types of tags


def read(path: Path, *, channels: int = 1, value_range: object = None, size: int = 12):
    return decode(str(path), channels=channels, size=size, value_range=value_range)


def ranges(dtype: type, bits: int = 0) -> list[tuple[float, float] | None]:
    kind = np.dtype(dtype)
    return [None, (0, 1) if kind.kind == "f" else (0, 2 ** (bits or 8 * kind.itemsize) - 1)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_that_is_zero_is_white_at_every_depth_with_a_range_or_without(
    tmp_path: Path, dtype: type, photometric: str, channels: int
) -> None:
    scale = {np.uint8: 1, np.uint16: 257, np.float32: np.float32(1 / 255)}[dtype]
    tifffile.imwrite(tmp_path / "a.tif", RAMP.astype(dtype) * scale, photometric=photometric)
    shown = 255 - RAMP if photometric == "miniswhite" else RAMP
    for value_range in ranges(dtype):
        found = read(tmp_path / "a.tif", channels=channels, value_range=value_range).int()
        assert found.shape[0] == channels
        assert (found - torch.from_numpy(shown[:, 2:14].astype(int))).abs().max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_than_the_type_has_are_scaled_by_their_own_range(
    tmp_path: Path, bits: int
) -> None:
    most = 2**bits - 1
    samples = np.rint(RAMP / 255 * most).astype(np.uint16)
    as_tiff(tmp_path / "a.tif", samples[..., None])
    content = bytearray((tmp_path / "a.tif").read_bytes())
    file = tifffile.TiffFile(tmp_path / "a.tif")
    tag = file.pages[0].tags[258]
    packed = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(12, 16, 2), axis=2)
    body = np.packbits(packed[..., 16 - bits :].reshape(12, -1), axis=1).tobytes()
    content[tag.valueoffset : tag.valueoffset + 2] = bits.to_bytes(2, "little")
    strip, count = file.pages[0].tags[273], file.pages[0].tags[279]
    at = strip.value[0]
    content[at : at + len(body)] = body
    size = count.valueoffset
    content[size : size + 2] = len(body).to_bytes(2, "little")
    (tmp_path / "b.tif").write_bytes(content)
    for value_range in (None, (0, most)):
        found = read(tmp_path / "b.tif", value_range=value_range).int()
        assert (found[0] - torch.from_numpy(RAMP[:, 2:14].astype(int))).abs().max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "webp", "bmp", "jpg", "tga", "jp2"])
def test_the_range_of_the_type_changes_no_pixel(tmp_path: Path, mode: str, suffix: str) -> None:
    image = Image.fromarray(COLOUR).convert("RGBA" if "A" in mode else "RGB").convert(mode)
    try:
        image.save(tmp_path / f"a.{suffix}")
    except (OSError, ValueError, KeyError):
        pytest.skip(f"Pillow writes no {mode} as {suffix}")
    for channels in (1, 3):
        try:
            plain = read(tmp_path / f"a.{suffix}", channels=channels, size=9)
        except UnreadableImage:
            continue
        stated = read(tmp_path / f"a.{suffix}", channels=channels, value_range=(0, 255), size=9)
        assert torch.equal(plain, stated)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_is_turned_at_every_depth(tmp_path: Path, orientation: int, dtype: type) -> None:
    tag = [(274, SHORT, 1, orientation, True)]
    samples = COLOUR.astype(dtype) * (257 if dtype == np.uint16 else 1)
    as_tiff(tmp_path / "a.tif", samples, extratags=tag)
    upright = Image.fromarray(COLOUR)
    upright = upright.transpose(TRANSPOSE[orientation]) if orientation > 1 else upright
    upright.save(tmp_path / "b.png")
    want = read(tmp_path / "b.png", channels=3)
    for value_range in ranges(dtype):
        found = read(tmp_path / "a.tif", channels=3, value_range=value_range)
        assert torch.equal(found, want)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_more_samples_than_colours_are_left_out_alike(tmp_path: Path, dtype: type) -> None:
    """Near-infrared that is marked as nothing: three channels are the colours, four are all."""
    four = np.concatenate([COLOUR, RAMP[..., None]], -1).astype(dtype)
    four *= 257 if dtype == np.uint16 else 1
    as_tiff(tmp_path / "four.tif", four, extrasamples=[0])
    as_tiff(tmp_path / "three.tif", four[..., :3])
    for value_range in ranges(dtype):
        options = {"channels": 3, "value_range": value_range}
        found = read(tmp_path / "four.tif", **options)
        assert torch.equal(found, read(tmp_path / "three.tif", **options))
        every = read(tmp_path / "four.tif", channels=4, value_range=value_range)
        assert torch.equal(every[:3], found)
        assert torch.equal(every[3], torch.from_numpy(RAMP[:, 2:14].copy()))


def test_pages_are_channels_or_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([RAMP] * 4), photometric="minisblack")
    assert read(tmp_path / "a.tif", channels=4).shape[0] == 4
    for channels in (1, 3):
        for value_range in (None, (0, 255)):
            with pytest.raises(UnreadableImage, match=r"4 pages.*set data\.channels=4"):
                read(tmp_path / "a.tif", channels=channels, value_range=value_range)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([COLOUR] * 2), photometric="rgb")
    with pytest.raises(UnreadableImage, match=r"2 pages of one size.*a file of its own"):
        read(tmp_path / "b.tif", channels=3)


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOUR, photometric="rgb")
        file.write(COLOUR[::2, ::2], photometric="rgb", subfiletype=1)
    assert read(tmp_path / "a.tif", channels=3).shape == (3, 12, 12)


@pytest.mark.parametrize(
    ("dtype", "hole", "said"),
    [(np.uint8, 255, "255"), (np.uint16, 7, "7"), (np.float32, np.nan, "nan")],
)
def test_gdals_no_data_is_black(tmp_path: Path, dtype: type, hole: float, said: str) -> None:
    samples = np.full((12, 12), 0.5 if dtype == np.float32 else 100, dtype)
    samples[:3] = hole
    tifffile.imwrite(
        tmp_path / "a.tif", samples, photometric="minisblack", extratags=[(42113, TEXT, 0, said)]
    )
    for value_range in ranges(dtype):
        found = read(tmp_path / "a.tif", value_range=value_range)[0]
        assert (found[:3] == 0).all()
        assert (found[3:] == found[3, 0]).all()


def test_a_largest_value_is_a_range_or_a_statistic_and_has_to_be_told(tmp_path: Path) -> None:
    tag = [(281, SHORT, 1, 4095, True)]
    as_tiff(tmp_path / "a.tif", RAMP[..., None].astype(np.uint16) * 16, extratags=tag)
    with pytest.raises(UnreadableImage, match=r"MaxSampleValue.*data\.value_range=\[0,4095\]"):
        read(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", value_range=(0, 4095)).max() > 250


@pytest.mark.parametrize("photometric", ["cielab", "cfa"])
def test_other_kinds_of_samples_are_refused_by_name(tmp_path: Path, photometric: str) -> None:
    samples = COLOUR if photometric == "cielab" else RAMP
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric=photometric)
    name = {"cielab": "CIELab", "cfa": "a raw sensor's mosaic"}[photometric]
    with pytest.raises(UnreadableImage, match=name):
        read(tmp_path / "a.tif", channels=3 if photometric == "cielab" else 1)


def test_a_deep_palette_is_refused_rather_than_read_as_grey(tmp_path: Path) -> None:
    colours = np.zeros((3, 65536), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", RAMP.astype(np.uint16), photometric="palette", colormap=colours
    )
    with pytest.raises(UnreadableImage, match="a palette of 16 bits"):
        read(tmp_path / "a.tif", value_range=(0, 65535))


def test_a_picture_needs_no_tifffile_also_with_a_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(3):
        as_tiff(tmp_path / f"{at}.tif", COLOUR)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    data = FolderSource(
        root=str(tmp_path), split="train", image_size=12, value_range=(0, 4095), max_corrupt=0
    )
    assert data[0][0].shape == (3, 12, 12)


def test_a_header_that_circles_ends(tmp_path: Path) -> None:
    as_tiff(tmp_path / "a.tif", COLOUR)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    first = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[first : first + 2], "little")
    after = first + 2 + 12 * count
    content[after : after + 4] = first.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(content)
    with (tmp_path / "a.tif").open("rb") as file:
        assert header_of(file).pages == (0,)


@pytest.mark.parametrize("large", [False, True])
def test_a_damaged_header_is_the_one_error(tmp_path: Path, large: bool) -> None:
    """Any byte of the header may be any other one."""
    as_tiff(tmp_path / "a.tif", COLOUR.astype(np.uint16), bigtiff=large)
    content, draw = (tmp_path / "a.tif").read_bytes(), np.random.default_rng(0)
    for _ in range(80):
        damaged = bytearray(content)
        for at in draw.integers(0, 300, 2):
            damaged[at] = draw.integers(0, 256)
        (tmp_path / "b.tif").write_bytes(damaged)
        with contextlib.suppress(UnreadableImage):
            read(tmp_path / "b.tif", channels=3)
