"""Hold what is known of many files in flat arrays, which all processes on a machine share.

A list of paths costs a hundred bytes a file in every process, since each is an object whose count
of references is written. Here names lie one after the other in one array of bytes, and a path is
made when it is asked for. The arrays may be pieces of a mapped file (``kept.py``): then workers,
other runs and evaluations read the same pages, and a process that is spawned maps them again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.look import Mark
from ssl_patches.data.suffixes import SUFFIXES, ends_of

BLOCK = 64  # names between two places that are written down
SOME = 4096  # names that are made at a time
OK, CORRUPT, HUGE = 0, 1, 2
"""What the header of a file says of it."""
COLUMNS: dict[str, str] = {
    "names": "u1",
    "lengths": "u2",
    "blocks": "i8",
    "run_first": "i8",
    "run_folder": "i4",
    "sizes": "i8",
    "extents": "u4",
    "states": "u1",
    "suffixes": "u1",
    "places": "u1",
    "stamps": "u8",
    "numbers": "i8",
    "devices": "i8",
}
"""Array -> its type. ``names`` are bytes of all names, each with a zero at its end, and ``lengths``
say how many those are; of every ``BLOCK``-th its place is in ``blocks``. A run is of files of one
folder that follow each other."""


@dataclass(eq=False)
class FileTable:
    """N files below ``root``, in an order of their own.

    ``columns``: the arrays of ``COLUMNS``. ``folders``: "" or with a "/" at the end. ``reasons``:
    why a file is not read, by number. ``looked``: folder -> what tells it from what it becomes,
    None where it was changed just before. ``others``, ``left``: as ``walk.Found``. ``state``: of
    everything here, "" where it is not known or files were just changed.
    """

    root: str
    columns: Mapping[str, NDArray[Any]]
    folders: list[str]
    reasons: dict[int, str] = field(default_factory=dict)
    looked: dict[str, Mark | None] = field(default_factory=dict)
    others: int = 0
    left: list[LeftOut] = field(default_factory=list)
    state: str = ""

    def __len__(self) -> int:
        return len(self.columns["lengths"])

    def rest(self) -> None:
        """Give memory back that can be had again: nothing, where the table lies in no file."""

    @property
    def folder_of(self) -> NDArray[np.int32]:
        """Return the number of the folder of each file, (N,)."""
        first = self.columns["run_first"]
        return np.repeat(self.columns["run_folder"], np.diff(first, append=len(self)))

    def name(self, at: int) -> str:
        """Return the name of a file, its path below ``root``."""
        name = self.letters(at, at + 1)
        run = int(np.searchsorted(self.columns["run_first"], at, "right")) - 1
        return self.folders[int(self.columns["run_folder"][run])] + os.fsdecode(name)

    def path(self, at: int) -> str:
        """Return where a file is opened."""
        return os.path.join(self.root, self.name(at))

    def base_names(self, begin: int, end: int) -> list[str]:
        """Return the names of files begin..end-1 without their folders."""
        return os.fsdecode(self.letters(begin, end)).split("\0") if end > begin else []

    def letters(self, begin: int, end: int) -> bytes:
        """Return the names of files begin..end-1 as bytes with zeros between them."""
        return self.columns["names"][self._place(begin) : self._place(end) - 1].tobytes()

    def _place(self, at: int) -> int:
        """Return where the name of a file begins among all."""
        if at >= len(self):
            return len(self.columns["names"])
        block = at // BLOCK
        before = self.columns["lengths"][block * BLOCK : at].sum(dtype=np.int64)
        return int(self.columns["blocks"][block]) + int(before)

    def runs(self, begin: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Yield (folder, begin, end) of the runs among files begin..end-1."""
        first = self.columns["run_first"]
        at = int(np.searchsorted(first, begin, "right")) - 1
        while begin < end:
            stop = min(int(first[at + 1]) if at + 1 < len(first) else len(self), end)
            yield self.folders[int(self.columns["run_folder"][at])], begin, stop
            begin, at = stop, at + 1

    def names_between(self, begin: int, end: int, *, below: str = "") -> list[str]:
        """Return the names of files begin..end-1: paths below ``root``, or from ``below`` on."""
        return [
            before + name
            for folder, one, two in self.runs(begin, end)
            for before in [os.path.join(below, folder) if below else folder]
            for name in self.base_names(one, two)
        ]

    def same_names(self, other: FileTable) -> bool:
        """Tell whether another table is of files of the same names in the same order."""
        return self.folders == other.folders and all(
            np.array_equal(self.columns[name], other.columns[name])
            for name in ("names", "run_first", "run_folder")
        )

    def take(self, rows: NDArray[np.int64]) -> FileTable:
        """Return a table of some of the files, in memory; ``rows`` are in order."""
        folder_of = self.folder_of[rows]
        lengths = self.columns["lengths"][rows].astype(np.int64)
        ends = np.cumsum(self.columns["lengths"], dtype=np.int64)[rows]
        source = np.repeat(ends - np.cumsum(lengths), lengths) + np.arange(int(lengths.sum()))
        columns = {
            name: values[rows]
            for name, values in self.columns.items()
            if name not in ("names", "lengths", "blocks", "run_first", "run_folder")
        }
        columns |= laid(self.columns["names"][source], lengths, folder_of)
        place = {int(row): at for at, row in enumerate(rows)} if self.reasons else {}
        reasons = {place[at]: why for at, why in self.reasons.items() if at in place}
        return FileTable(
            self.root, columns, self.folders, reasons, self.looked, self.others, self.left
        )


def laid(
    names: NDArray[np.uint8], lengths: NDArray[Any], folder_of: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Return the columns that find a name.

    ``names``: bytes of all, each with a zero at its end; ``lengths`` (N,): how many of each;
    ``folder_of`` (N,): the number of the folder of each.
    """
    begins = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[:-1]
    first = np.flatnonzero(np.diff(folder_of, prepend=-1))
    return {
        "names": names,
        "lengths": lengths.astype(np.uint16),
        "blocks": begins[::BLOCK].astype(np.int64),
        "run_first": first.astype(np.int64),
        "run_folder": folder_of[first].astype(np.int32),
    }


_SUFFIXES = {suffix: at for at, suffix in enumerate(SUFFIXES)}


def suffixes_of(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the number of each name's end in ``SUFFIXES``, 255 for any other, (N,)."""
    numbers = {end: _SUFFIXES.get(end, 255) for end in ends_of(names)}
    if len(numbers) == 1:
        return np.full(len(names), next(iter(numbers.values())), np.uint8)
    ends = (name[name.rfind(".") :].lower() for name in names)
    return np.fromiter(map(numbers.__getitem__, ends), np.uint8, len(names))


class Paths(Sequence[str]):
    """Paths of some files of a table, made on demand.

    ``rows`` (M,): the numbers of the files. ``whole``: as they are opened; otherwise as the user
    knows them, below the root.
    """

    def __init__(self, table: FileTable, rows: NDArray[Any], *, whole: bool) -> None:
        self.table, self.rows, self.whole = table, rows, whole

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return Paths(self.table, self.rows[index], whole=self.whole)
        at = int(self.rows[index])
        return self.table.path(at) if self.whole else self.table.name(at)

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self.rows), SOME):
            yield from self.some(begin, begin + SOME)

    def some(self, begin: int, end: int) -> list[str]:
        """Return those at places begin..end-1; quicker than one by one."""
        rows = self.rows[begin:end]
        if not len(rows):
            return []
        first, last = int(rows.min()), int(rows.max()) + 1
        if last - first > 64 * len(rows):  # far apart
            return [self[at] for at in range(begin, begin + len(rows))]
        names = self.table.names_between(first, last, below=self.table.root if self.whole else "")
        return [names[at - first] for at in rows.tolist()]

    def by_folder(self, begin: int, end: int) -> list[tuple[str, list[str]]]:
        """Return those at places begin..end-1 as folders and the names in each."""
        rows = self.rows[begin:end]
        found, at = list[tuple[str, list[str]]](), 0
        before = self.table.root if self.whole else ""
        while at < len(rows):
            first = int(rows[at])
            # those that follow in the same run
            folder, _, stop = next(self.table.runs(first, len(self.table)))
            end = at + int(np.searchsorted(rows[at:], stop))
            names = self.table.base_names(first, int(rows[end - 1]) + 1)
            chosen = (
                names
                if len(names) == end - at
                else [names[row - first] for row in rows[at:end].tolist()]
            )
            found.append((os.path.join(before, folder), chosen))
            at = end
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            one == two for one, two in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]
