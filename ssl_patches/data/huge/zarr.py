"""Read parts of Zarr: an array, or the levels of an OME-Zarr (the extra ``[zarr]``).

An array is (H, W), (C, H, W) or (H, W, C). Of an OME-Zarr the first image is taken; its axes are
named, and those of time and depth must have length 1. A ``.zarr`` folder is one image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_patches.data.arrays import channel_axis
from ssl_patches.data.huge.image import Box, HugeImage, check_segment
from ssl_patches.data.stored import Stored


class ZarrImage(HugeImage):
    """A folder of Zarr. ImportError without the library; ValueError for what is no image."""

    def __init__(self, path: str, *, channels: int) -> None:
        import zarr

        opened: Any = zarr.open(path, mode="r")
        arrays, names = _levels(opened)
        self._arrays = arrays
        shape = tuple(arrays[0].shape)
        self._y, self._x, self._axis = _places(shape, names, channels)
        if any(shape[at] != 1 for at in set(range(len(shape))) - {self._y, self._x, self._axis}):
            raise ValueError(
                f"has shape {shape} ({', '.join(names)}), of which only one axis may count"
                " channels; store each stack as a folder of its own"
            )
        self.channels = 1 if self._axis is None else shape[self._axis]
        if self.channels != channels and {self.channels, channels} != {1, 3}:
            raise ValueError(
                f"has {self.channels} channels, and data.channels={channels}: set"
                f" data.channels={self.channels}"
            )
        self.levels = tuple((each.shape[self._x], each.shape[self._y]) for each in arrays)
        chunks = arrays[0].chunks
        self.block = (int(chunks[self._x]), int(chunks[self._y]))
        check_segment(int(np.prod(chunks)) * arrays[0].dtype.itemsize, "chunks")

    def read(self, box: Box, level: int = 0) -> Stored:
        """Return the samples (C, h, w) of a part of ``level``."""
        y, x, h, w = box
        found = self._arrays[level]
        chosen: list[Any] = [0] * len(found.shape)
        chosen[self._y], chosen[self._x] = slice(y, y + h), slice(x, x + w)
        if self._axis is not None:
            chosen[self._axis] = slice(None)
        values = np.asarray(found[tuple(chosen)])
        if self._axis is None:
            return Stored(values=values[None])
        kept = sorted((self._axis, self._y, self._x))
        return Stored(values=np.moveaxis(values, kept.index(self._axis), 0))


def _levels(opened: Any) -> tuple[list[Any], list[str]]:
    """Return the arrays, full size first, and the names of their axes, none where nobody says."""
    import zarr

    if isinstance(opened, zarr.Array):
        return [opened], []
    said: Any = dict(opened.attrs)
    scales = (said.get("ome") or said).get("multiscales")
    if not scales:
        raise ValueError("is a group of Zarr without multiscales; name the folder of its array")
    first = scales[0]
    names = [str(axis["name"] if isinstance(axis, dict) else axis) for axis in first["axes"]]
    if not {"y", "x"} <= set(names):
        raise ValueError(f"has the axes {', '.join(names)}, must have y and x")
    return [opened[each["path"]] for each in first["datasets"]], names


def _places(shape: tuple[int, ...], names: list[str], channels: int) -> tuple[int, int, int | None]:
    """Return the axes of y, x and channels; None: there is one channel."""
    if names:
        return names.index("y"), names.index("x"), names.index("c") if "c" in names else None
    axis = None if len(shape) == 2 else channel_axis(shape, channels, last=True)
    y, x = (at for at in range(len(shape)) if at != axis)
    return y, x, axis
