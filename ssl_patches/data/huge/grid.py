"""Lay windows over a huge image, and leave out those that are empty.

Windows stand side by side from the upper left corner; the last row and the last column end at the
edge of the image and overlap their neighbours, so that every pixel lies in a window.

A window is empty where more than ``most_missing`` of it is no data (or transparent), or where,
shrunk to 16 x 16 pixels, the deviation of each channel is below ``least_spread`` levels of 255:
glass, sea, and black frames are flat, tissue and fields are not. It is looked at in the smallest
copy of the image that still has 16 pixels for a window; where the file has none, in the middle of
the window, a tile of the file or 64 pixels: nothing is decoded whole.

Why: seen so small, the noise of a sensor averages out to below 2 levels, and faint tissue keeps 4
and more; `tests/data/huge/test_grid.py` draws both.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.atomic import write_json
from ssl_patches.config.keys import files_state, key_of
from ssl_patches.config.outside import read_json
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import DECODERS
from ssl_patches.data.huge.image import Box, Extent, HugeImage, failures_of
from ssl_patches.data.stored import Stored, share_missing, square

SEEN = 16  # pixels of a window that is looked at
MIDDLE = 64  # pixels that are looked at where there is no smaller copy, at least
FEWER = 4  # times smaller a copy has to be to be worth reading
RULES = 1  # of what is empty; raise it when they change


@dataclass(frozen=True, slots=True)
class Rule:
    """What windows are cut, and which are empty.

    ``window``: side in pixels of ``level``, of which 0 is the full size. ``least_spread``: levels
    0..255. ``most_missing``: a share 0..1.
    """

    window: int
    level: int
    channels: int
    value_range: tuple[float, float] | None
    least_spread: float
    most_missing: float

    def empty(self, part: Stored) -> bool:
        """Tell whether a window, of which ``part`` was seen, is empty."""
        if share_missing(part) > self.most_missing:
            return True
        if not self.least_spread:
            return False
        plain = replace(part, turn=None)
        seen = square(plain, channels=self.channels, size=SEEN, value_range=self.value_range)
        return bool((seen.reshape(self.channels, -1).std(1) < self.least_spread).all())


@dataclass(frozen=True, slots=True)
class Grid:
    """The windows of an image.

    ``extent``: width and height in pixels at the level of the windows. ``full``: at full size.
    ``kept`` (N,) int32: the numbers of those that are not empty, row by row from 0.
    """

    extent: Extent
    full: Extent
    window: int
    kept: NDArray[np.int32]

    @property
    def count(self) -> int:
        """Return the number of windows, empty ones included."""
        wide, high = self.extent
        return -(-wide // self.window) * -(-high // self.window)

    def box(self, number: int) -> Box:
        """Return y, x, h, w of window ``number`` in pixels of its level."""
        wide, high = self.extent
        row, column = divmod(number, -(-wide // self.window))
        y = min(row * self.window, high - self.window)
        x = min(column * self.window, wide - self.window)
        return y, x, self.window, self.window

    def full_box(self, number: int) -> Box:
        """Return y, x, h, w of window ``number`` in pixels of the full size."""
        scale = self.full[0] / self.extent[0]
        y, x, h, w = (round(side * scale) for side in self.box(number))
        return y, x, h, w


def window_grid(image: HugeImage, path: str, rule: Rule, *, folder: Path | None) -> Grid:
    """Return the windows of an image, read from ``folder`` where they are kept, else found.

    ValueError for a level that it has not, and for a window that is larger than it.
    """
    if rule.level >= len(image.levels):
        raise ValueError(
            f"has {len(image.levels)} levels (0 is the full size), and data.level={rule.level}: set"
            f" data.level={len(image.levels) - 1}"
        )
    wide, high = image.levels[rule.level]
    if rule.window > min(wide, high):
        raise ValueError(
            f"has {wide} x {high} pixels at level {rule.level}, and data.window={rule.window} is"
            f" larger: set data.window={min(wide, high)}, or leave the image out (data.skip)"
        )
    empty = Grid((wide, high), image.levels[0], rule.window, np.zeros(0, np.int32))
    key = key_of(file=files_state(files_of(path)), rule=repr(rule), rules=RULES, decoders=DECODERS)
    place = None if folder is None else folder / f"{key[:32]}.json"
    kept = None if place is None else _known(place, empty.count)
    if kept is None:
        full = np.fromiter(
            (not each for each in _empty(image, path, empty, rule)), bool, empty.count
        )
        kept = np.flatnonzero(full).astype(np.int32)
        if place is not None:
            _keep(place, full)
    return replace(empty, kept=kept)


def files_of(path: str) -> list[str]:
    """Return what says whether an image has changed: its file, or what describes a Zarr."""
    return [path, *(f"{path}/{name}" for name in ("zarr.json", ".zattrs", ".zarray"))]


def _empty(image: HugeImage, path: str, grid: Grid, rule: Rule) -> Iterator[bool]:
    """Yield for each window, row by row, whether it is empty."""
    far = max(
        (
            at
            for at in range(rule.level, len(image.levels))
            if rule.window * image.levels[at][0] >= SEEN * grid.extent[0]
        ),
        default=rule.level,
    )
    if grid.extent[0] >= FEWER * image.levels[far][0]:
        with failures_of(path):
            yield from _from_afar(image, grid, rule, far)
        return
    for number in range(grid.count):
        try:
            with failures_of(path):
                seen = image.read(_middle(grid.box(number), image.block), rule.level)
                found = rule.empty(seen)
        except UnreadableImage:  # told when the window is asked for
            found = False
        yield found


def _from_afar(image: HugeImage, grid: Grid, rule: Rule, far: int) -> Iterator[bool]:
    """Look at rows of windows in a smaller copy."""
    wide, high = image.levels[far]
    scale = wide / grid.extent[0]
    columns = -(-grid.extent[0] // grid.window)
    for first in range(0, grid.count, columns):
        top, _, h, _ = _shrunk(grid.box(first), scale, (wide, high))
        band = image.read((top, 0, h, wide), far)
        for number in range(first, first + columns):
            _, left, _, w = _shrunk(grid.box(number), scale, (wide, high))
            yield rule.empty(_columns(band, slice(left, left + w)))


def _shrunk(box: Box, scale: float, extent: Extent) -> Box:
    y, x, h, w = (int(side * scale) for side in box)
    h, w = max(1, h), max(1, w)
    return min(y, extent[1] - h), min(x, extent[0] - w), h, w


def _columns(band: Stored, columns: slice) -> Stored:
    def part(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[..., columns]

    return replace(
        band,
        values=band.values[..., columns],
        alpha=part(band.alpha),
        missing=part(band.missing),
    )


def _middle(box: Box, block: Extent) -> Box:
    """Return the part of a window that is looked at: within one piece of the file, if it can."""
    y, x, h, w = box
    (top, high), (left, wide) = _piece(y, h, block[1]), _piece(x, w, block[0])
    return top, left, high, wide


def _piece(begin: int, length: int, piece: int) -> tuple[int, int]:
    """Return where the piece in the middle of begin..begin+length begins, and its length."""
    middle, least = begin + length // 2, min(MIDDLE, length)
    first = middle // piece * piece
    start, end = max(begin, first), min(begin + length, first + piece)
    if end - start < least:
        start = min(max(begin, middle - least // 2), begin + length - least)
        end = start + least
    return start, end - start


def _known(place: Path, count: int) -> NDArray[np.int32] | None:
    """Return what is kept; None where it is not there, or not what we wrote."""
    try:
        said = read_json(place)
        bits = np.frombuffer(base64.b64decode(said["full"], validate=True), np.uint8)
        if said["windows"] != count or len(bits) != -(-count // 8):
            return None
        return np.flatnonzero(np.unpackbits(bits, count=count)).astype(np.int32)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(place: Path, full: NDArray[np.bool_]) -> None:
    """Keep which windows are not empty; nothing where it cannot be written."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        bits = base64.b64encode(np.packbits(full).tobytes()).decode()
        write_json(place, {"windows": len(full), "full": bits})
    except OSError:
        return


def kept_counts(grids: Sequence[Grid]) -> NDArray[np.int64]:
    """Return (images + 1,) int64: how many windows lie before each image, and in all."""
    return np.concatenate([[0], np.cumsum([len(grid.kept) for grid in grids])]).astype(np.int64)
