"""Open image files that may come from anybody: known formats, ordinary files, a bound on memory.

Pillow knows some fifty formats, reads the content and not the name, and hands PostScript to
Ghostscript; only the formats whose suffixes we list are opened. A file of a few bytes may state a
picture of any size, so what it states is bounded before anything is decoded.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from math import prod
from threading import Lock
from typing import IO, Any

from PIL import Image

from ssl_patches.config.outside import check_regular

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "TGA")
"""Pillow's names of the formats that are read; MPO, several JPEGs in one, is a JPEG to it."""
LARGEST_PIXELS = 178_956_970  # Pillow's own limit, which another program may have lifted
LARGEST_BYTES = 2**31
IN_WINDOWS = "data=windows data.root=DIR data.window=512 reads parts of it"


class TooLarge(ValueError):
    """Raised for an image that is sound, as far as is known, and larger than is decoded whole."""


def open_image(source: str | IO[bytes]) -> Image.Image:
    """Open an image of a known format, without decoding it.

    OSError where it is none, or no ordinary file; ``TooLarge`` where it has more pixels than are
    decoded. Pillow raises others on damaged files.
    """
    if isinstance(source, str):
        check_regular(source)
    Image.init()
    formats = [form for form in FORMATS if form in Image.OPEN]
    try:
        image = Image.open(source, formats=formats)
    except Image.DecompressionBombError:
        check_extent(*stated_extent(source))
        raise  # another program has set a limit below ours
    try:
        check_extent(image.width, image.height)
    except ValueError:
        image.close()
        raise
    return image


def stated_extent(source: str | IO[bytes]) -> tuple[int, int]:
    """Return the width and height that a picture states, whatever they are.

    Nothing is decoded, and no limit is changed. OSError where it is none of a known format.
    """
    if isinstance(source, str):
        with open_binary(source) as file:
            return stated_extent(file)
    Image.init()
    for form in FORMATS:
        if form not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[form]
        source.seek(0)
        begin = source.read(16)
        if accept is not None and accept(begin) is not True:
            continue
        source.seek(0)
        with suppress(SyntaxError, IndexError, TypeError, KeyError, struct.error):
            return factory(source, "").size
    raise OSError("cannot identify image file")


def open_binary(path: str) -> IO[bytes]:
    """Open an ordinary file for reading. OSError where it is none: a pipe may never end."""
    check_regular(path)
    return open(path, "rb")


def check_extent(width: int, height: int) -> None:
    """Raise ``TooLarge`` for an image of more pixels than are decoded."""
    if width * height > LARGEST_PIXELS:
        raise TooLarge(
            f"has {width} x {height} pixels, at most {LARGEST_PIXELS:,} are decoded whole:"
            f" {IN_WINDOWS}"
        )


def check_bytes(shape: tuple[int, ...], itemsize: int) -> None:
    """Raise ``TooLarge`` for an array that takes more memory than is given to an image."""
    if prod(shape) * itemsize > LARGEST_BYTES:
        raise TooLarge(
            f"has shape {shape}, {prod(shape) * itemsize:,} bytes, at most {LARGEST_BYTES:,} are"
            f" read whole: {IN_WINDOWS}"
        )


# Why: numpy reads its headers by ast, which several threads may not use at once in Python 3.11
# (python/cpython#106905: a SystemError, now and then)
PARSING = Lock()


def load_npy(path: str) -> Any:
    """Map a .npy file into memory, without pickles. Raises as numpy does, and as above."""
    values = map_npy(path)
    check_bytes(values.shape, values.dtype.itemsize)
    return values


def map_npy(path: str) -> Any:
    """Map a .npy file of any size into memory, without pickles. Raises as numpy does."""
    import numpy as np

    check_regular(path)
    with PARSING:
        return np.load(path, mmap_mode="r", allow_pickle=False)


def npy_of_bytes(content: bytes) -> Any:
    """Read the content of a .npy file, without pickles. Raises as numpy does."""
    import numpy as np

    with PARSING:
        return np.load(io.BytesIO(content), allow_pickle=False)
