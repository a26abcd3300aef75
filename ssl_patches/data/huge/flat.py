"""Read parts of images that have no parts in their files: npy, and PNG, JPEG and other pictures.

npy is mapped into memory. A picture is unpacked once, into an npy file that all runs and processes
map: in the user's cache folder, or where ``data.unpacked_dir`` says, under a key of its path, size
and time of change. Up to ``memory`` MiB Pillow decodes it, whole, as for any source; larger PNG and
JPEG are decoded row by row through rasterio, which takes a few MiB.

The trap: a picture that would be turned upright is turned before it is unpacked, which needs all of
it: row by row that is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssl_patches.config.atomic import replacing
from ssl_patches.config.keys import files_state, key_of
from ssl_patches.config.plain_text import tell
from ssl_patches.data.arrays import channels_first
from ssl_patches.data.decode import DECODERS, eight_bits
from ssl_patches.data.deep import samples_of
from ssl_patches.data.headers import orientation
from ssl_patches.data.huge.geo import row_blocks
from ssl_patches.data.huge.image import Box, HugeImage
from ssl_patches.data.opening import LARGEST_PIXELS, map_npy, open_image, stated_extent
from ssl_patches.data.stored import Stored, turned

PICTURE_BYTES = 4  # of a pixel, as Pillow holds it
CONVERT = "store it in tiles: vips tiffsave FILE NEW.tif --tile --pyramid --bigtiff"


class FlatImage(HugeImage):
    """An npy file, mapped into memory: (H, W), (H, W, C) or (C, H, W).

    ValueError for another number of channels; raises as numpy does on damage.
    """

    block = (1, 1)

    def __init__(self, path: str, *, channels: int, highest: float | None = None) -> None:
        self._values, self._highest = _planes(map_npy(path), channels), highest
        self.channels, height, width = self._values.shape
        self.levels = ((width, height),)

    def read(self, box: Box, level: int = 0) -> Stored:
        """Return the samples (C, h, w) of a part."""
        y, x, h, w = box
        part = np.ascontiguousarray(self._values[:, y : y + h, x : x + w])
        return Stored(values=part, highest=self._highest)


def unpacked(path: str, *, channels: int, memory: int, folder: Path) -> str:
    """Return the npy file of a picture, which is made where it is not there yet.

    ``memory``: MiB that decoding may take. ValueError for a picture that needs more, where rasterio
    is not there or does not read it; OSError where ``folder`` cannot be written.
    """
    key = key_of(file=files_state([path]), channels=channels, decoders=DECODERS)
    place = folder / f"{key[:32]}.npy"
    if place.exists():
        return str(place)
    width, height = stated_extent(path)
    whole = width * height * PICTURE_BYTES <= memory * 2**20 and width * height <= LARGEST_PIXELS
    if whole:
        values = _decoded(path, channels)
        shape, blocks, dtype = values.shape, iter([values]), values.dtype
    else:
        shape, blocks, dtype = _by_rows(path, (width, height), channels, memory)
    tell(
        f"{path}: unpacked once into {place} ({prod(shape) * dtype.itemsize / 2**20:,.0f} MiB)",
        file=sys.stderr,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(place) as aside, aside.open("wb") as file:
        npy.write_array_header_2_0(
            file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        for block in blocks:
            file.write(np.ascontiguousarray(block).tobytes())
    return str(place)


def _planes(values: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return (C, H, W); grey and colour stand for each other, as for any image."""
    if channels in (1, 3) and values.ndim == 3 and channels not in values.shape:
        return channels_first(values, channels=4 - channels)
    if channels == 3 and values.ndim == 2:
        return values[None]
    return channels_first(values, channels=channels)


def _decoded(path: str, channels: int) -> NDArray[Any]:
    """Decode a picture whole, upright: (H, W) or (H, W, C)."""
    with open_image(path) as image:
        stored = samples_of(image, value_range=None)
        turn = orientation(image)
        if stored is not None and stored.alpha is None:
            values = stored.values
        else:
            image.load()
            picture = np.asarray(eight_bits(image, "L" if channels == 1 else "RGB"))
            values = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    values = turned(values, turn)
    return values[0] if len(values) == 1 else values.transpose(1, 2, 0)


def _by_rows(
    path: str, extent: Sequence[int], channels: int, memory: int
) -> tuple[tuple[int, ...], Iterator[NDArray[Any]], np.dtype[Any]]:
    """Return shape, blocks of rows (h, W, C) and type of a picture that is decoded from the top."""
    width, height = extent
    needs = f"{width} x {height} pixels take {width * height * PICTURE_BYTES / 2**20:,.0f} MiB"
    form = path.lower().rpartition(".")[2]
    if form not in ("png", "jpg", "jpeg", "jpe", "jfif"):
        raise ValueError(
            f"{needs} to decode, data.memory={memory} allows {memory} and Pillow's limit"
            f" {LARGEST_PIXELS:,} pixels; {CONVERT}"
        )
    try:
        (bands, *_), blocks = row_blocks(path)
    except ImportError:
        raise ValueError(
            f"{needs} to decode, data.memory={memory} allows {memory} and Pillow's limit"
            f" {LARGEST_PIXELS:,} pixels; with pip install 'ssl-patches[geo]' it is read row by"
            f" row, or {CONVERT}"
        ) from None
    with open(path, "rb") as file:
        if b"Exif\0\0" in file.read(2**16):
            raise ValueError(f"may have to be turned, which needs all of it ({needs}); {CONVERT}")
    first = next(blocks)
    colours = 1 if bands < 3 else 3
    shape = (height, width) if colours == 1 else (height, width, colours)
    return shape, (_opaque(block, colours) for block in _chain(first, blocks)), first.dtype


def _chain(first: NDArray[Any], others: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from others


def _opaque(block: NDArray[Any], colours: int) -> NDArray[Any]:
    """Return (h, W) or (h, W, colours) of (C, h, W): transparency laid on white."""
    shown = block[:colours]
    if len(block) > colours:
        most = np.iinfo(block.dtype).max
        alpha = block[colours].astype(np.float32) / most
        laid = shown.astype(np.float32) * alpha + most * (1 - alpha)
        shown = np.rint(laid).astype(block.dtype)
    return shown[0] if colours == 1 else shown.transpose(1, 2, 0)
