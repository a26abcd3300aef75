"""Samples of more than 8 bits are had as they are stored, or the file is refused."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from containers import png, pnm
from PIL import Image

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode, square_of

DEEP = np.random.default_rng(4).integers(0, 4096, (8, 9, 3)).astype(np.uint16)


def read(path: Path, *, channels: int = 3, value_range: object = (0, 4095)) -> torch.Tensor:
    return decode(str(path), channels=channels, size=8, value_range=value_range)


def right(samples: np.ndarray, most: int = 4095) -> np.ndarray:
    return np.rint(samples[:, :8].transpose(2, 0, 1) / most * 255)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("bands", [1, 3])
def test_the_maximum_of_a_pgm_is_white_and_a_range_is_of_its_own_samples(
    tmp_path: Path, text: bool, bands: int
) -> None:
    pnm(tmp_path / "a.ppm", DEEP[..., :bands], text=text, most=5000)
    found = read(tmp_path / "a.ppm", channels=bands, value_range=None)
    assert np.abs(found.numpy() - right(DEEP[..., :bands], 5000)).max() <= 1
    found = read(tmp_path / "a.ppm", channels=bands)
    assert np.abs(found.numpy() - right(DEEP[..., :bands])).max() <= 1


@pytest.mark.parametrize("keep", [20, 60, -40])
def test_a_deep_picture_that_ends_early_is_refused(tmp_path: Path, keep: int) -> None:
    pnm(tmp_path / "a.ppm", DEEP)
    png(tmp_path / "a.png", DEEP, 2)
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(DEEP, reversible=True, level=0))
    for path in list(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UnreadableImage):
            read(path)


def test_a_colour_that_stands_for_nothing_is_white_in_16_bits(tmp_path: Path) -> None:
    samples = DEEP.copy()
    samples[2:4] = (1, 2, 300)
    png(tmp_path / "a.png", samples, 2, (b"tRNS", np.array([1, 2, 300], ">u2").tobytes()))
    found = read(tmp_path / "a.png")
    assert (found[:, 2:4] == 255).all()
    assert np.array_equal(found[:, 4:].numpy(), right(samples)[:, 4:])
    grey = samples[..., :1].copy()
    grey[2:4] = 5000
    png(tmp_path / "b.png", grey, 0, (b"tRNS", np.array([5000], ">u2").tobytes()))
    assert (read(tmp_path / "b.png", channels=1, value_range=(0, 65535))[:, 2:4] == 255).all()


@pytest.mark.parametrize("bits", [12, 15, 16])
@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg_2000_is_scaled_by_its_own_bits(tmp_path: Path, bits: int, bands: int) -> None:
    samples = DEEP[..., 0] if bands == 1 else DEEP
    (tmp_path / "a.jp2").write_bytes(
        imagecodecs.jpeg2k_encode(samples, bitspersample=bits, reversible=True, level=0)
    )
    plain = read(tmp_path / "a.jp2", channels=bands, value_range=None)
    assert torch.equal(
        plain, read(tmp_path / "a.jp2", channels=bands, value_range=(0, 2**bits - 1))
    )
    assert np.array_equal(
        read(tmp_path / "a.jp2", channels=bands).numpy(), right(DEEP[..., :bands])
    )


def test_without_imagecodecs_a_range_of_jpeg_2000_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jp2").write_bytes(
        imagecodecs.jpeg2k_encode(DEEP[..., 0], bitspersample=12, reversible=True, level=0)
    )
    whole = read(tmp_path / "a.jp2", channels=1, value_range=None).int()
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert (read(tmp_path / "a.jp2", channels=1, value_range=None).int() - whole).abs().max() <= 1
    with pytest.raises(UnreadableImage, match=r"imagecodecs reads.*ssl-patches\[tiff\]"):
        read(tmp_path / "a.jp2", channels=1)


def test_avif_has_the_pixels_of_its_own_library(tmp_path: Path) -> None:
    levels = (DEEP // 16).astype(np.uint8)
    content = imagecodecs.avif_encode(levels, level=60)
    (tmp_path / "a.avif").write_bytes(content)
    want = imagecodecs.avif_decode(content)[:, :8].transpose(2, 0, 1)
    found = np.asarray(read(tmp_path / "a.avif", value_range=None)).astype(int)
    assert want.std() > 10
    assert np.abs(found - want).max() <= 2


def test_avif_of_ten_bits_is_refused_with_a_range_alone(tmp_path: Path) -> None:
    content = imagecodecs.avif_encode((DEEP // 4).astype(np.uint16), bitspersample=10)
    (tmp_path / "a.avif").write_bytes(content)
    assert read(tmp_path / "a.avif", value_range=None).shape == (3, 8, 8)
    with pytest.raises(UnreadableImage, match="AVIF of more than 8 bits"):
        read(tmp_path / "a.avif", value_range=(0, 1023))
    Image.fromarray((DEEP // 16).astype(np.uint8)).save(tmp_path / "b.avif")
    assert read(tmp_path / "b.avif", value_range=(0, 1023)).shape == (3, 8, 8)


def test_a_picture_of_a_dataset_is_read_deep_and_left_as_it_was(tmp_path: Path) -> None:
    png(tmp_path / "a.png", DEEP, 2)
    want = read(tmp_path / "a.png")
    for file in (str(tmp_path / "a.png"), io.BytesIO((tmp_path / "a.png").read_bytes())):
        with Image.open(file) as image:
            assert torch.equal(square_of(image, channels=3, size=8, value_range=(0, 4095)), want)
            assert image.getpixel((0, 0)) == tuple(DEEP[0, 0] // 256)
