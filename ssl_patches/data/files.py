"""Image files as sources have them: how one becomes a square, which can be opened at all, and which
are to be skipped.

Damage is found in two stages: headers are read before training, and what fails is left out and
listed; pixels are decoded only when asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ssl_patches.data import arrays
from ssl_patches.data.decode import UnreadableImage, decode, header

Extent = tuple[int, int]
QUARANTINE_COLUMNS = ("path", "reason")


@dataclass(frozen=True, slots=True)
class Reading:
    """How files become squares: ``channels`` (1 or 3, or those of array files) and the stated range
    of deep pixels."""

    channels: int = 3
    value_range: tuple[float, float] | None = None

    def square(self, path: str, size: int) -> Tensor:
        """uint8 (channels, size, size). Raises ``UnreadableImage``."""
        return decode(path, channels=self.channels, size=size, value_range=self.value_range)

    def headers(self, paths: Sequence[str]) -> tuple[dict[str, Extent], list[tuple[str, str]]]:
        """``read_headers``. ValueError where ``paths`` need what is not installed or cannot have so
        many channels."""
        if self.channels not in (1, 3):
            flat = [path for path in paths if not path.lower().endswith(arrays.NPY + arrays.TIFF)]
            if flat:
                raise ValueError(
                    f"data.channels={self.channels}: {flat[0]} and {len(flat) - 1} more have 1"
                    " (grey) or 3 (RGB), only TIFF and npy hold others; set data.channels=3"
                )
        arrays.require_readers(paths, channels=self.channels, value_range=self.value_range)
        return read_headers(paths, reading=self)


PLAIN = Reading()


def read_headers(
    paths: Sequence[str], *, reading: Reading = PLAIN
) -> tuple[dict[str, Extent], list[tuple[str, str]]]:
    """The extent (width, height) of each readable file, in the order given, and (path, reason) of
    the others."""
    extents: dict[str, Extent] = {}
    corrupt: list[tuple[str, str]] = []

    def some(at: int) -> list[Extent | UnreadableImage]:
        return [_extent(path, reading) for path in paths[at : at + 256]]

    with ThreadPoolExecutor(
        4
    ) as pool:  # a network file system answers slowly; a local disk is as fast with one
        for at, found in zip(
            range(0, len(paths), 256), pool.map(some, range(0, len(paths), 256)), strict=True
        ):
            for path, extent in zip(paths[at : at + 256], found, strict=True):
                if isinstance(extent, UnreadableImage):
                    corrupt.append((path, extent.reason))
                else:
                    extents[path] = extent
    return extents, corrupt


def _extent(path: str, reading: Reading) -> Extent | UnreadableImage:
    try:
        return header(path, channels=reading.channels, value_range=reading.value_range)
    except UnreadableImage as error:
        return error


def read_skip(path: str | None, known: Collection[str], *, where: str) -> set[str]:
    """Which of ``known`` a quarantine list names: a CSV with a column ``path`` (as ``doctor``
    writes it), or a path a line.

    ValueError for a list that cannot be read, or that names none of ``known``: it belongs to other
    images.
    """
    if path is None:
        return set()
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"data.skip={path}: cannot be read ({error}); name the list that ssl-patches doctor"
            " wrote"
        ) from None
    if rows and rows[0][:1] == [QUARANTINE_COLUMNS[0]]:
        rows = rows[1:]
    listed = {row[0] for row in rows if row}
    found = listed & set(known)
    if listed and not found:
        raise ValueError(
            f"data.skip={path}: none of its {len(listed)} paths ({min(listed)}, ...) is an image of"
            f" {where}; leave it out, or make it with ssl-patches doctor {where}"
        )
    return found


def write_quarantine(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([QUARANTINE_COLUMNS, *rows])
