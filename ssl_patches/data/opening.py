"""Open image files that may come from anybody: known formats, ordinary files, a bound on memory.

Pillow knows some fifty formats, reads the content and not the name, and hands PostScript to
Ghostscript; only the formats whose suffixes we list are opened. A file of a few bytes may state a
picture of any size, so what it states is bounded before anything is decoded.
"""

from __future__ import annotations

from math import prod
from typing import IO, Any

from PIL import Image

from ssl_patches.config.outside import check_regular

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "TGA")
"""Pillow's names of the formats that are read; MPO, several JPEGs in one, is a JPEG to it."""
LARGEST_PIXELS = 178_956_970  # Pillow's own limit, which another program may have lifted
LARGEST_BYTES = 2**31


def open_image(source: str | IO[bytes]) -> Image.Image:
    """Open an image of a known format, without decoding it.

    OSError where it is none, or no ordinary file; ValueError where it is too large. Pillow raises
    others on damaged files.
    """
    if isinstance(source, str):
        check_regular(source)
    Image.init()
    image = Image.open(source, formats=[form for form in FORMATS if form in Image.OPEN])
    try:
        check_extent(image.width, image.height)
    except ValueError:
        image.close()
        raise
    return image


def open_binary(path: str) -> IO[bytes]:
    """Open an ordinary file for reading. OSError where it is none: a pipe may never end."""
    check_regular(path)
    return open(path, "rb")


def check_extent(width: int, height: int) -> None:
    """Raise ValueError for an image of more pixels than are decoded."""
    if width * height > LARGEST_PIXELS:
        raise ValueError(
            f"has {width}x{height} pixels, at most {LARGEST_PIXELS} are decoded: cut it into pieces"
        )


def check_bytes(shape: tuple[int, ...], itemsize: int) -> None:
    """Raise ValueError for an array that takes more memory than is given to an image."""
    if prod(shape) * itemsize > LARGEST_BYTES:
        raise ValueError(
            f"has shape {shape}, {prod(shape) * itemsize} bytes, at most {LARGEST_BYTES} are read:"
            " cut it into pieces"
        )


def load_npy(path: str) -> Any:
    """Map a .npy file into memory, without pickles. Raises as numpy does, and as above."""
    import numpy as np

    check_regular(path)
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    check_bytes(values.shape, values.dtype.itemsize)
    return values
