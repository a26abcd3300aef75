"""The same samples give the same pixels, whatever they lie in; a range is applied once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from containers import DEEP, FLAT, fits
from PIL import Image

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode, deep_samples, square_of, square_of_array
from ssl_patches.data.stored import TRANSPOSE, Stored, square

RANGES = [None, (0, 65535), (0, 4095), (300, 2000)]


def drawn(bands: int, dtype: type = np.uint16, most: int = 4096) -> np.ndarray:
    """Blocks (12, 20, bands): not square, and of another size than what is asked for."""
    blocks = np.random.default_rng(bands).integers(0, most, (6, 10, bands))
    return blocks.repeat(2, 0).repeat(2, 1).astype(dtype)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("name", DEEP)
def test_deep_samples_give_the_same_pixels_in_any_container_and_range(
    tmp_path: Path, name: str, bands: int
) -> None:
    if not fits(name, bands):
        pytest.skip("white is zero in grey alone")
    samples, path = drawn(bands), tmp_path / name
    DEEP[name](path, samples)
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    for value_range in RANGES if name != "white.tif" else RANGES[:2]:
        for size in (12, 7):
            options = {"channels": bands, "size": size, "value_range": value_range}
            found = decode(str(path), **options)
            assert torch.equal(found, square_of_array(planes, **options)), (name, options)
            low, high = value_range or (0, 65535)
            if size == 12:  # the numbers themselves
                want = (planes[:, :, 4:16].astype(float) - low) / (high - low) * 255
                assert np.abs(found.numpy() - want.clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("name", DEEP)
def test_the_samples_of_deep_files_are_known_as_they_are_stored(
    tmp_path: Path, name: str, bands: int
) -> None:
    if not fits(name, bands) or name == "white.tif":
        pytest.skip("what is white is stored as zero")
    samples, path = drawn(bands), tmp_path / name
    DEEP[name](path, samples)
    assert np.array_equal(deep_samples(str(path), channels=bands), samples.transpose(2, 0, 1))


@pytest.mark.parametrize("name", FLAT)
def test_bytes_are_no_deep_samples(tmp_path: Path, name: str) -> None:
    FLAT[name](tmp_path / name, drawn(1, np.uint8, 256))
    assert deep_samples(str(tmp_path / name), channels=1) is None
    with pytest.raises(UnreadableImage, match="missing"):
        deep_samples(str(tmp_path / f"missing{name}"), channels=1)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("name", FLAT)
def test_bytes_are_levels_in_any_container_and_range(tmp_path: Path, name: str, bands: int) -> None:
    if not fits(name, bands):
        pytest.skip("white is zero in grey alone")
    samples, path = drawn(bands, np.uint8, 256), tmp_path / name
    FLAT[name](path, samples)
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    for value_range in (None, (0, 255), (0, 4095)):
        for size in (12, 7):
            options = {"channels": bands, "size": size, "value_range": value_range}
            assert torch.equal(decode(str(path), **options), square_of_array(planes, **options))


@pytest.mark.parametrize("name", ["plain.png", "alpha.png", "plain.tif", "binary.ppm", "a.jp2"])
def test_grey_is_repeated_and_colour_weighed_at_any_depth(tmp_path: Path, name: str) -> None:
    """16 bits are the picture of 8 bits: what Pillow makes of that is what is right."""
    for bands in (1, 3):
        flat = drawn(bands, np.uint8, 256)
        DEEP[name](tmp_path / name, flat.astype(np.uint16) * 257)
        FLAT["plain.png"](tmp_path / "flat.png", flat)
        for channels in (1, 3):
            for value_range in (None, (0, 65535)):
                options = {"channels": channels, "size": 12, "value_range": value_range}
                found, want = (
                    decode(str(tmp_path / each), **options).int() for each in (name, "flat.png")
                )
                assert (found - want).abs().max() <= (1 if channels < bands else 0)


def test_transparency_is_laid_on_white_at_any_depth(tmp_path: Path) -> None:
    flat = np.zeros((8, 8, 4), np.uint8)
    flat[..., 0], flat[:4, :, 3], flat[4:6, :, 3] = 200, 255, 51
    FLAT["plain.png"](tmp_path / "flat.png", flat)
    want = decode(str(tmp_path / "flat.png"), channels=3, size=8).int()
    deep = flat.astype(np.uint16) * 257
    for name in ("plain.png", "plain.tif"):
        DEEP[name](tmp_path / name, deep)
        found = decode(str(tmp_path / name), channels=3, size=8, value_range=(0, 65535)).int()
        assert (found - want).abs().max() <= 1


@pytest.mark.parametrize("no_data", [-9999.0, float("nan")])
def test_where_there_is_no_data_it_is_black_and_no_limit(no_data: float) -> None:
    values = np.full((2, 8, 8), 0.5, np.float32)
    values[:, :2] = no_data
    stored = Stored(values=values, no_data=no_data)
    found = square(stored, channels=2, size=8, value_range=None)
    assert (found[:, :2] == 0).all()
    assert (found[:, 2:] == 128).all()
    with pytest.raises(ValueError, match="nothing but no-data"):
        square(
            Stored(values=np.full((1, 4, 4), no_data), no_data=no_data),
            channels=1,
            size=4,
            value_range=(0, 1),
        )


def test_numbers_that_are_not_finite_are_refused_as_what_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[np.nan, 0], [0, 1]], np.float32))
    for value_range in (None, (0, 1)):
        with pytest.raises(UnreadableImage, match="not finite"):
            decode(str(tmp_path / "a.npy"), channels=1, size=2, value_range=value_range)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_pictures_of_pillow_are_turned_as_their_files_are(tmp_path: Path, orientation: int) -> None:
    """In a Dataset, from load_encoder and from a file: one place decides which way is up."""
    for mode in ("RGB", "I;16"):
        bands = 3 if mode == "RGB" else 1
        flat = drawn(bands, np.uint8, 256)
        image = Image.fromarray(flat if bands == 3 else flat[..., 0].astype(np.uint16) * 257)
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(tmp_path / "a.png", exif=exif)
        upright = image.transpose(TRANSPOSE[orientation])
        want = square_of(upright, channels=bands, size=12)
        assert torch.equal(decode(str(tmp_path / "a.png"), channels=bands, size=12), want)
        with Image.open(tmp_path / "a.png") as opened:
            assert torch.equal(square_of(opened, channels=bands, size=12), want)
