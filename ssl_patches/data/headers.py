"""Read what the header of an image file states, without decoding: extent and orientation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO

from PIL import ExifTags, Image

from ssl_patches.data import arrays, tiff
from ssl_patches.data.damage import DAMAGE, UnreadableImage, reading
from ssl_patches.data.formats import reader_in
from ssl_patches.data.opening import npy_of_bytes, open_binary, open_image
from ssl_patches.data.stored import TRANSPOSE


def header(
    path: str, *, channels: int = 3, value_range: Sequence[float] | None = None
) -> tuple[int, int]:
    """Return width and height in pixels as the file states them, without decoding.

    ``channels``: those that samples must have. Raises ``UnreadableImage``.
    """
    with reading(path):
        if path.lower().endswith(arrays.NPY):
            width, height = arrays.extent_of(arrays.npy_shape(path), channels=channels)
        else:
            with open_binary(path) as file:
                width, height = _extent(file, channels)
    if min(width, height) < 1:
        raise UnreadableImage(path, f"has no pixels ({width}x{height})")
    return width, height


def _extent(file: IO[bytes], channels: int) -> tuple[int, int]:
    if (reader := reader_in(file)) is not None:
        return reader.extent(file, channels)
    if tiff.is_tiff(file.read(4)):
        found = tiff.header_of(file)
        found.check(channels)
        if tiff.by_tifffile(found, channels):
            return found.width, found.height
    else:
        arrays.check_picture_channels(channels)
    file.seek(0)
    with open_image(file) as image:
        return image.size


def extent_of_bytes(content: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels as a file's content states them; None where damaged."""
    file = io.BytesIO(content)
    try:
        if content.startswith(arrays.NPY_BEGINS):
            shape = npy_of_bytes(content).shape
            held = 1 if len(shape) < 3 else min(shape[0], shape[-1])
            return arrays.extent_of(shape, channels=held)
        if (reader := reader_in(file)) is not None:
            return reader.extent(file, None)
        if tiff.is_tiff(content[:4]):
            found = tiff.header_of(file)
            return found.width, found.height
        with open_image(file) as image:
            return image.size
    except DAMAGE:
        return None


def is_turned(path: str) -> bool:
    """Tell whether a file states an orientation other than upright; False where it cannot be
    read."""
    if path.lower().endswith(arrays.NPY):
        return False
    try:
        with open_binary(path) as file:
            if reader_in(file) is not None:
                return False
            if tiff.is_tiff(file.read(4)):
                return tiff.header_of(file).orientation in TRANSPOSE
            file.seek(0)
            with open_image(file) as image:
                return orientation(image) is not None
    except DAMAGE:
        return False


def orientation(image: Image.Image) -> Image.Transpose | None:
    """Return what turns the stored picture upright, or None.

    Damaged metadata beside sound pixels counts as none.
    """
    try:
        return TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return None
