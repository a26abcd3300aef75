"""HEIC gives the pixels of its library, upright once, and registers nothing with Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.headers import header, is_turned
from ssl_patches.data.traits import traits_of

pillow_heif = pytest.importorskip("pillow_heif")


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    planes = [columns * 5, rows * 7, 255 - columns * 5, 128 + 0 * rows]
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.stack(planes[:bands], -1).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if bands == 1 else pixels, mode)


def written(folder: Path, image: Image.Image, **options) -> str:
    path = folder / "a.heic"
    pillow_heif.from_pillow(image).save(path, quality=-1, **options)
    return str(path)


def test_pixels_are_those_of_the_library(tmp_path):
    path = written(tmp_path, picture())
    assert header(path) == (48, 32)
    theirs = np.asarray(pillow_heif.open_heif(path).to_pillow())[:, 8:40]
    assert np.array_equal(decode(path, channels=3, size=32).numpy(), theirs.transpose(2, 0, 1))
    assert np.abs(theirs.astype(int) - np.asarray(picture())[:, 8:40]).mean() < 4
    assert traits_of(path).channels == 3
    assert "HEIF" not in Image.OPEN


def test_it_is_turned_once(tmp_path):
    """The library turns it as it says; the orientation in EXIF is not applied again."""
    image = picture()
    exif = Image.Exif()
    exif[274] = 6
    path = written(tmp_path, image, exif=exif.tobytes())
    upright = np.asarray(pillow_heif.open_heif(path).to_pillow())
    height, width = upright.shape[:2]
    assert header(path) == (width, height)
    assert not is_turned(path)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    shown = decode(path, channels=3, size=side).numpy()
    assert np.array_equal(shown, upright[top : top + side, left : left + side].transpose(2, 0, 1))


def test_transparency_is_laid_on_white(tmp_path):
    image = picture("RGBA", (32, 32))
    image.putalpha(Image.new("L", (32, 32), 0))
    assert decode(written(tmp_path, image), channels=3, size=32).min() == 255


def test_grey_is_grey(tmp_path):
    path = written(tmp_path, picture("L", (32, 32)))
    assert decode(path, channels=1, size=32).shape == (1, 32, 32)


def test_ten_bits_and_a_range_are_refused(tmp_path):
    path = tmp_path / "a.heic"
    deep = np.zeros((32, 32, 3), np.uint16)
    pillow_heif.encode("RGB;16", (32, 32), deep.tobytes(), str(path), quality=-1)
    assert decode(str(path), channels=3, size=32).max() <= 1
    with pytest.raises(UnreadableImage, match="more than 8 bits"):
        decode(str(path), channels=3, size=32, value_range=(0, 1023))


@pytest.mark.parametrize("keep", [40, 300, -40])
def test_a_file_cut_short_is_damaged(tmp_path, keep):
    path = Path(written(tmp_path, picture()))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableImage):
        decode(str(path), channels=3, size=32)


def test_many_channels_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(UnreadableImage, match=r"data.channels=3"):
        header(written(tmp_path, picture()), channels=5)
