"""Read image files as sources do: how one becomes a square, which can be opened at all, and which
are to be skipped.

Damage is found in two stages: headers are read before training, and what fails is left out and
listed; pixels are decoded only when asked for.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_patches.config.atomic import replacing
from ssl_patches.config.keys import content_read
from ssl_patches.config.outside import read_text
from ssl_patches.config.plain_text import as_listed, as_utf8, field, printable, text_of
from ssl_patches.data import arrays, tiff
from ssl_patches.data.decode import decode
from ssl_patches.data.formats import ANY_CHANNELS
from ssl_patches.data.index import kept
from ssl_patches.data.index.extents import PART, by_folder, extents_of
from ssl_patches.data.index.table import CORRUPT, HUGE, OK, SOME, FileTable, Paths
from ssl_patches.data.look import sizes_and_times
from ssl_patches.data.remarks import MANY_FRAMES, of_listed
from ssl_patches.data.source import Request
from ssl_patches.data.stored_source import StoredSource
from ssl_patches.data.suffixes import SUFFIXES

Extent = tuple[int, int]  # width, height in pixels
SEVERAL = [at for at, suffix in enumerate(SUFFIXES) if suffix in MANY_FRAMES]
QUARANTINE_COLUMNS = ("path", "reason")


@dataclass(frozen=True, slots=True)
class Reading:
    """How files become squares.

    ``channels``: 1 or 3, or those of array files. ``value_range``: the stored values that become
    0 and 255 in files of more than 8 bits; None: the range of their type.
    """

    channels: int = 3
    value_range: tuple[float, float] | None = None

    def square(self, path: str, size: int) -> Tensor:
        """Decode a file into uint8 (C, S, S), S = ``size``. Raises ``UnreadableImage``."""
        return decode(path, channels=self.channels, size=size, value_range=self.value_range)

    def headers(self, paths: Sequence[str]) -> Headers:
        """Read headers as ``read_headers``.

        ValueError where ``paths`` need what is not installed or cannot have so many channels.
        """
        self.require(paths)
        return read_headers(paths, reading=self)

    def require(self, paths: Sequence[str]) -> None:
        """Raise ValueError for files that need what is not installed or have no such channels."""
        if self.channels in (1, 3) and self.value_range is None:
            return
        if self.channels not in (1, 3):
            many = (*arrays.NPY, *arrays.TIFF, *ANY_CHANNELS)
            flat = [path for path in paths if not path.lower().endswith(many)]
            if flat:
                raise ValueError(
                    f"data.channels={self.channels}: {flat[0]} and {len(flat) - 1} more have 1"
                    " (grey) or 3 (RGB), only TIFF, DICOM, npy and npz hold others; set"
                    " data.channels=3"
                )
        tiff.require_readers(paths, channels=self.channels, value_range=self.value_range)


PLAIN = Reading()


@dataclass(frozen=True, slots=True)
class Headers:
    """The findings of the headers of some files, in the order given.

    ``extents``: (width, height) of each readable file. ``corrupt``: (path, reason) of the damaged.
    ``huge``: of those that are sound, and too large to be decoded whole.
    """

    extents: dict[str, Extent]
    corrupt: list[tuple[str, str]]
    huge: list[tuple[str, str]]


class FileSource(StoredSource):
    """Images that are files, each with a label; what ``FolderSource`` and ``ManifestSource`` share.

    ``table``: of the files, with what their headers say; ``rows`` (M,): those of this split, and
    ``labels`` (M,) of them: int64 of a class, -1 = none, or float64, NaN = none.
    Files whose header cannot be read are left out and listed in ``corrupt``; those that are too
    large to be decoded whole are left out and told in ``remarks``. ValueError where all are.
    """

    paths: Paths
    known_as: Paths
    labels: Tensor

    def __init__(
        self,
        table: FileTable,
        rows: NDArray[np.int64],
        labels: NDArray[Any],
        *,
        where: str,
        request: Request,
        reading: Reading,
        classes: Sequence[str],
        split_rule: str,
        max_corrupt: float,
        of_all: int = 0,
        remarks: Sequence[str] = (),
    ) -> None:
        reading.require(Paths(table, rows, whole=True))
        states = table.columns["states"][rows]
        corrupt, huge = (
            [(table.path(at), table.reasons[at]) for at in rows[states == state].tolist()]
            for state in (CORRUPT, HUGE)
        )
        rows, labels = rows[states == OK], labels[states == OK]
        if huge and not len(rows):
            raise ValueError(f"{where}: {of_huge(huge)[0]}")
        kind = np.uint32 if len(table) < 2**32 else np.int64
        self.table, self._rows, self.reading = table, rows.astype(kind), reading
        self.root, self.paths = table.root, Paths(table, self._rows, whole=True)
        self.known_as = Paths(table, self._rows, whole=False)
        extents = table.columns["extents"][rows]
        frames = np.isin(table.columns["suffixes"][rows], SEVERAL).nonzero()[0].tolist()
        lost = of_listed(self.paths, extents, reading.channels, frames)
        self.remarks = [*remarks, *of_huge(huge), *lost]
        super().__init__(
            where=where,
            names=self.paths,
            labels=torch.from_numpy(labels),
            classes=classes,
            split_rule=split_rule,
            # where none can be read there is no side, and ValueError is raised
            load_size=request.side(
                [_middle(extents)] if len(rows) else [(request.image_size,) * 2]
            ),
            corrupt=corrupt,
            identity=None,
            files=self.paths,
            read_as=asdict(reading),
            max_corrupt=max_corrupt,
            of_all=of_all,
        )

    def read(self, at: int) -> tuple[Tensor, float]:
        """Return image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""
        return self.reading.square(self.paths[at], self.load_size), self.labels[at].item()

    def hash_names(self) -> str:
        """Return the sha256 of names and sizes, kept with the table where that is known."""
        return self._hashes()["names"]

    def hash_state(self) -> str:
        """Return ``keys.files_state`` of the files, which are asked a folder at a time."""
        content = hashlib.sha256()
        for begin in range(0, len(self.paths), SOME):
            for folder, names in self.paths.by_folder(begin, begin + SOME):
                here = os.path.join(os.path.abspath(folder), "")
                told = zip(names, sizes_and_times(here, names), strict=True)
                lines = (f"{here}{name}\0{said}\n" for name, said in told)
                content.update(os.fsencode("".join(lines)))
        return content.hexdigest()

    def hash_content(self) -> str:
        """Return the hash of what the files hold, kept with the table where that is known."""
        return self._hashes(content=True)["content"]

    def _hashes(self, *, content: bool = False) -> dict[str, str]:
        part = hashlib.sha256(self._rows.data).hexdigest()
        known = kept.remembered(self.table.state, part)
        missing = {"names", "content"} - set(known) if content else {"names"} - set(known)
        if "names" in missing:
            known["names"] = self._named()
        whole = True
        if "content" in missing:
            known["content"], whole = content_read(self.paths)
        if missing and whole:
            kept.remember(self.table.state, part, known)
        if missing:
            self.table.rest()
        return known

    def _named(self) -> str:
        found, sizes = hashlib.sha256(), self.table.columns["sizes"]
        for begin in range(0, len(self._rows), SOME):
            of_each = iter(sizes[self._rows[begin : begin + SOME]].tolist())
            lines = [
                f"{folder}{name}\0{next(of_each)}\n"
                for folder, names in self.known_as.by_folder(begin, begin + SOME)
                for name in names
            ]
            found.update(os.fsencode("".join(lines)))
        return found.hexdigest()


def _middle(extents: NDArray[np.uint32]) -> tuple[int, int]:
    """Return the lower median of the shorter sides, as the extent of a square."""
    short = np.minimum(extents[:, 0], extents[:, 1])
    at = (len(short) - 1) // 2
    side = int(np.partition(short, at)[at])
    return side, side


def read_headers(paths: Sequence[str], *, reading: Reading = PLAIN) -> Headers:
    """Return what the headers of the files say."""
    found = Headers({}, [], [])
    parts = (by_folder(paths[at : at + PART]) for at in range(0, len(paths), PART))
    begin = 0
    for looked in extents_of(parts, count=len(paths), channels=reading.channels):
        for at, extent in enumerate(looked.extents.tolist()):
            path, damaged = paths[begin + at], looked.damaged.get(at)
            if damaged is None:
                found.extents[path] = (extent[0], extent[1])
            else:
                (found.huge if damaged.huge else found.corrupt).append((path, damaged.reason))
        begin += len(looked.extents)
    return found


def of_huge(huge: Sequence[tuple[str, str]]) -> list[str]:
    """Say which images are left out because they are too large, and what reads them."""
    if not huge:
        return []
    path, reason = huge[0]
    return [f"{len(huge):,} images ({path}) not used: the first {reason}"]


def read_skip(path: str | None, known: Collection[str], *, where: str) -> set[str]:
    """Return those of ``known`` that a quarantine list names.

    The list is a CSV with a column ``path``, as ``doctor`` and ``duplicates`` write it, or a path a
    line; None names nothing. ValueError for a list that cannot be read, or that names none of
    ``known``: it belongs to other images.
    """
    if path is None:
        return set()
    try:
        text = read_text(Path(path).expanduser(), errors="surrogateescape")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(
            f"data.skip={path}: cannot be read ({error}); name the list that ssl-patches doctor"
            " wrote"
        ) from None
    if rows and rows[0][:1] == [QUARANTINE_COLUMNS[0]]:
        rows = rows[1:]
    listed = {text_of(row[0]) for row in rows if row}
    found = listed & set(known)
    if any("\\" in name for name in listed):  # what ends a line or acts is listed as \n, \x1b
        odd = (name for name in known if printable(name) != name)
        found |= {name for name in odd if listed & {as_listed(name), printable(name)}}
    if listed and not found:
        raise ValueError(
            f"data.skip={path}: none of its {len(listed)} paths ({min(listed)}, ...) is an image of"
            f" {where}; leave it out, or make it with ssl-patches doctor {where}"
        )
    return found


def write_quarantine(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write (path, reason) as the CSV that ``data.skip`` takes. OSError where it cannot be.

    Paths have the bytes that they have on the disk, whatever those are; what ends a line or acts on
    a terminal is escaped.
    """
    fields = [[field(as_listed(path)), field(printable(as_utf8(reason)))] for path, reason in rows]
    with (
        replacing(path) as aside,
        aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file).writerows([QUARANTINE_COLUMNS, *fields])
