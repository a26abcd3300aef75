"""Read parts of TIFF, BigTIFF and OME-TIFF: only the tiles or strips that a part lies in.

tifffile reads the headers and decodes a tile (its public ``TiffPage.decode``); which tiles, and
how they lie, stands here. Copies of smaller size (sub-IFDs, pages of a pyramid) are the levels. The
first series of a file is its image; its planes are the channels (an OME-TIFF of 5 fluorescent
channels has 5). What the header says of samples is done as for any TIFF (``data/tiff.py``).

The trap: a file whose rows all lie in one strip is as large in memory as it is in all. Where it is
not compressed it is mapped into memory; otherwise it is refused.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.outside import check_regular
from ssl_patches.data import tiff
from ssl_patches.data.huge.image import Box, HugeImage, check_segment
from ssl_patches.data.stored import Stored


class TiffImage(HugeImage):
    """A TIFF, opened by tifffile. ImportError without it; ValueError for what is not read.

    ``channels``: as many as are asked for: 1 or 3 leave transparency and further samples out.
    """

    def __init__(self, path: str, *, channels: int, value_range: Sequence[float] | None) -> None:
        import tifffile

        check_regular(path)
        with open(path, "rb") as file:
            self.header = tiff.header_of(file)
        self.channels, self.value_range = channels, value_range
        self._opened = tifffile.TiffFile(path)
        series: Any = self._opened.series[0]
        self._levels = [_planes(level, path) for level in series.levels]
        self.levels = tuple((pages[0].imagewidth, pages[0].imagelength) for pages in self._levels)
        first = self._levels[0][0]
        held = len(self._levels[0]) * first.samplesperpixel
        self.block = _block(first)
        self._mapped = series.dataoffset is not None and len(self._levels[0]) == 1
        if not self._mapped:
            check_segment(prod(self.block) * first.samplesperpixel * first.dtype.itemsize, "TIFF")
        self.header.check_part(held, channels)
        self._file = os.open(path, os.O_RDONLY)
        self._path = path

    def close(self) -> None:
        """Close the file."""
        self._opened.close()
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def read(self, box: Box, level: int = 0) -> Stored:
        """Return the samples (C, h, w) of a part of ``level``; ValueError for damage."""
        import tifffile

        pages = self._levels[level]
        try:
            if level == 0 and self._mapped:
                values = self._from_map(box)
            else:
                values = np.concatenate([self._plane(page, box) for page in pages])
        except (tifffile.TiffFileError, RuntimeError, MemoryError) as error:
            raise ValueError(str(error)) from error
        return tiff.stored_of(
            values, self.header, channels=self.channels, value_range=self.value_range
        )

    def _from_map(self, box: Box) -> NDArray[Any]:
        y, x, h, w = box
        page = self._levels[0][0]
        values: Any = self._opened.series[0].asarray(out="memmap")
        axes = page.axes
        if axes == "SYX":
            return np.array(values[:, y : y + h, x : x + w])
        part = np.array(values.reshape(page.shape)[y : y + h, x : x + w])
        return part[None] if part.ndim == 2 else np.moveaxis(part, 2, 0)

    def _plane(self, page: Any, box: Box) -> NDArray[Any]:
        """Return (samples, h, w) of one page."""
        y, x, h, w = box
        keyframe: Any = page.keyframe  # says what all pages of a series share
        wide, high = _block(keyframe)
        across, down = -(-keyframe.imagewidth // wide), -(-keyframe.imagelength // high)
        apart = keyframe.samplesperpixel if keyframe.planarconfig == 2 else 1
        values = np.full((keyframe.samplesperpixel, h, w), keyframe.nodata, keyframe.dtype)
        rows, columns = _touched(y, h, high), _touched(x, w, wide)
        for sample, row, column in product(range(apart), rows, columns):
            number = (sample * down + row) * across + column
            segment = self._segment(page, keyframe, number)
            if segment is None:  # a tile that was left out when the file was written
                continue
            top, left = row * high - y, column * wide - x
            piece = np.moveaxis(segment[0], 2, 0)[:, max(0, -top) :, max(0, -left) :]
            place = values[sample : sample + len(piece), max(0, top) :, max(0, left) :]
            h_, w_ = min(piece.shape[1], place.shape[1]), min(piece.shape[2], place.shape[2])
            place[:, :h_, :w_] = piece[:, :h_, :w_]
        return values.astype(np.uint8) if values.dtype == bool else values

    def _segment(self, page: Any, keyframe: Any, number: int) -> NDArray[Any] | None:
        """Decode one tile or strip, (1, h, w, samples); None where the file holds none."""
        count, offset = page.databytecounts[number], page.dataoffsets[number]
        if not count:
            return None
        data = os.pread(self._file, count, offset)  # no shared place in the file
        if len(data) < count:
            raise ValueError(f"image file is truncated ({len(data)} of {count} bytes of a tile)")
        tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
        return keyframe.decode(data, number, **tables)[0]


def is_geo(path: str) -> bool:
    """Tell whether a TIFF states where on Earth it lies (GeoTIFF); False where it is damaged."""
    try:
        check_regular(path)
        with open(path, "rb") as file:
            return tiff.header_of(file).placed
    except (OSError, ValueError, struct.error):
        return False


def _planes(level: Any, path: str) -> list[Any]:
    """Return the pages that are the channels of a level. ValueError for more axes than those."""
    sizes = {axis: size for axis, size in zip(level.axes, level.shape, strict=True)}
    stacked = [axis for axis, size in sizes.items() if axis not in "YXS" and size > 1]
    pages = [page for page in level.pages if page is not None]
    if len(stacked) > 1 or len(pages) != prod(sizes[axis] for axis in stacked):
        raise ValueError(
            f"has the axes {dict(sizes)}, of which only one may count channels; store each stack"
            " as a file of its own"
        )
    return pages


def _block(page: Any) -> tuple[int, int]:
    """Return width and height of a tile or strip."""
    if page.is_tiled:
        return int(page.tilewidth), int(page.tilelength)
    return int(page.imagewidth), int(min(page.rowsperstrip or page.imagelength, page.imagelength))


def _touched(begin: int, length: int, piece: int) -> range:
    """Return the numbers of the pieces that hold begin..begin+length-1."""
    return range(begin // piece, (begin + length - 1) // piece + 1)
