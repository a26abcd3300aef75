"""Read parts of GeoTIFF and JPEG 2000 through rasterio (the extra ``[geo]``), and rows of large PNG
and JPEG.

All bands are channels but one that is marked as transparency. Pixels without data, by the number
or the mask that the file states, become black. GDAL is given the formats that it may open, so that
a file that only is named .tif reaches no other driver, and ``CACHE`` bytes to keep tiles in.

The trap: GDAL's own bound on that memory is a share of the machine's, in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data import tiff
from ssl_patches.data.huge.image import Box, HugeImage, check_segment
from ssl_patches.data.opening import open_binary
from ssl_patches.data.stored import Stored

CACHE = 64 * 2**20  # bytes
PLACED = {
    **dict.fromkeys(tiff.BEGINS, "GTiff"),
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}
ROWWISE = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG"}
"""How a file begins, and what GDAL calls its format."""


class GeoImage(HugeImage):
    """A georeferenced image, opened by rasterio. ImportError without it; its errors for damage.

    ValueError for another number of bands than ``channels``.
    """

    def __init__(self, path: str, *, channels: int) -> None:
        first = _open(path, PLACED)
        self._opened = [first]
        alpha = [at for at, what in enumerate(first.colorinterp, 1) if str(what.name) == "alpha"]
        self._bands = [at for at in first.indexes if at not in alpha or channels == first.count]
        self.channels = len(self._bands)
        if self.channels != channels and {self.channels, channels} != {1, 3}:
            raise ValueError(
                f"has {self.channels} bands, and data.channels={channels}: set"
                f" data.channels={self.channels}"
            )
        high, wide = first.block_shapes[0]
        self.block = (wide, high)
        each = np.dtype(first.dtypes[0]).itemsize
        check_segment(wide * high * each * first.count, str(first.driver))
        self._opened += [
            _open(path, PLACED, overview_level=at) for at in range(len(first.overviews(1)))
        ]
        self.levels = tuple((each.width, each.height) for each in self._opened)

    def close(self) -> None:
        """Close the file."""
        for each in self._opened:
            each.close()

    def read(self, box: Box, level: int = 0) -> Stored:
        """Return the samples (C, h, w) of a part of ``level``; RasterioError for damage."""
        import rasterio
        from rasterio.windows import Window

        y, x, h, w = box
        window, opened = Window(x, y, w, h), self._opened[level]
        with rasterio.Env(GDAL_CACHEMAX=CACHE):
            values = opened.read(self._bands, window=window)
            missing = opened.read_masks(self._bands, window=window) == 0
        if values.dtype.kind == "f":
            missing |= np.isnan(values)
        return Stored(values=values, missing=missing if missing.any() else None)


def row_blocks(
    path: str, *, rows: int = 256
) -> tuple[tuple[int, int, int], Iterator[NDArray[Any]]]:
    """Return (bands, height, width) of a PNG or JPEG, and its pixels as blocks (C, rows, W).

    They are decoded from the top, so that memory holds one block. ValueError for a palette and for
    inks, whose bands are no colours.
    """
    opened = _open(path, ROWWISE)
    bands = opened.count
    kinds = {str(what.name) for what in opened.colorinterp}
    if not kinds <= {"gray", "red", "green", "blue", "alpha", "undefined"}:
        raise ValueError(
            f"holds {', '.join(sorted(kinds))}, of which no rows are read; store it as RGB"
        )
    return (bands, opened.height, opened.width), _rows(opened, rows)


def _rows(opened: Any, rows: int) -> Iterator[NDArray[Any]]:
    import rasterio
    from rasterio.windows import Window

    with opened, rasterio.Env(GDAL_CACHEMAX=CACHE):
        for top in range(0, opened.height, rows):
            high = min(rows, opened.height - top)
            yield opened.read(window=Window(0, top, opened.width, high))


def _open(path: str, drivers: Mapping[bytes, str], **options: Any) -> Any:
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with open_binary(path) as file:
        begin = file.read(16)
    driver = next((name for start, name in drivers.items() if begin.startswith(start)), None)
    if driver is None:
        raise ValueError(f"is none of {', '.join(sorted(set(drivers.values())))}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.Env(GDAL_CACHEMAX=CACHE):
            return rasterio.open(path, driver=driver, **options)
