"""Fill in what the headers of files say: from the table of before, or by reading them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.keys import key_of
from ssl_patches.data.index.extents import PART, Names, extents_of
from ssl_patches.data.index.table import CORRUPT, HUGE, FileTable, Paths
from ssl_patches.data.look import RACY, Mark


def with_headers(
    table: FileTable,
    changed: NDArray[np.int64],
    before: FileTable | None,
    channels: int,
    started: int,
    *,
    ordinary: bool = True,
) -> FileTable:
    """Fill in what headers say, read only where ``before`` does not know it.

    ``changed`` (N,): when each file was, in nanoseconds; ``started``: before they were asked.
    ``ordinary``: as for ``extents_of``.
    """
    columns = dict(table.columns)
    stamps = np.array(columns["stamps"])
    reasons: dict[int, str] = {}
    unknown = np.ones(len(table), bool)
    if before is not None:
        _known(table, before, unknown, columns, reasons)
    rows = np.flatnonzero(unknown)
    passing: list[int] = []
    for begin, looked in zip(
        range(0, len(rows), PART),
        extents_of(
            _paths(table, rows),
            count=len(rows),
            channels=channels,
            where=table.root,
            ordinary=ordinary,
        ),
        strict=True,
    ):
        part = rows[begin : begin + PART]
        columns["extents"][part] = looked.extents
        for at, damaged in looked.damaged.items():
            row = int(part[at])
            columns["states"][row] = HUGE if damaged.huge else CORRUPT
            reasons[row] = damaged.reason
            if damaged.passing and columns["numbers"][row] >= 0:
                passing.append(row)
    stamps[changed > started - RACY] = 0
    stamps[passing] = 0
    columns["stamps"] = stamps
    looked_at = _believed(table, started, passing)
    state = ""
    if looked_at and all(looked_at.values()):
        digests = sorted((below, mark.digest.hex()) for below, mark in looked_at.items() if mark)
        state = key_of(root=os.path.abspath(table.root), looked=digests)
    return FileTable(
        table.root, columns, table.folders, reasons, looked_at, table.others, table.left, state
    )


def _believed(table: FileTable, started: int, passing: Sequence[int]) -> dict[str, Mark | None]:
    """Return the marks of folders, None where a file was changed just before the walk."""
    found = dict(table.looked)
    for below, mark in table.looked.items():
        if mark is not None and mark.newest > started - RACY:
            found[below] = None
        elif mark is not None and max(mark.dates[:2], default=0) > started - RACY:
            found[below] = replace(mark, dates=())
    folder_of = table.folder_of
    for row in passing:
        found[table.folders[int(folder_of[row])]] = None
    return found


def _known(
    table: FileTable,
    before: FileTable,
    unknown: NDArray[np.bool_],
    columns: dict[str, NDArray[np.generic]],
    reasons: dict[int, str],
) -> None:
    """Take over what the headers of files said that were not written since."""
    old_stamps, stamps = np.asarray(before.columns["stamps"]), columns["stamps"]
    for new, old in _pairs(table, before):
        same = old_stamps[old] == stamps[new]
        new, old = new[same], old[same]
        unknown[new] = False
        columns["extents"][new] = before.columns["extents"][old]
        columns["states"][new] = before.columns["states"][old]
        for at in np.flatnonzero(before.columns["states"][old]).tolist():
            reasons[int(new[at])] = before.reasons[int(old[at])]


def _pairs(
    table: FileTable, before: FileTable
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the numbers of files in a table, and those of the same names in the one of before."""
    if table.same_names(before):
        yield np.arange(len(table)), np.arange(len(table))
        return
    there: dict[str, list[tuple[int, int]]] = {}
    for folder, begin, end in before.runs(0, len(before)):
        there.setdefault(folder, []).append((begin, end))
    folder, rows = "", dict[str, int]()
    for each, begin, end in table.runs(0, len(table)):
        if each != folder or not rows:
            folder = each
            rows = {
                name: one + at
                for one, two in there.get(each, ())
                for at, name in enumerate(before.base_names(one, two))
            }
        new = np.arange(begin, end)
        old = np.array([rows.get(name, -1) for name in table.base_names(begin, end)], np.int64)
        yield new[old >= 0], old[old >= 0]


def _paths(table: FileTable, rows: NDArray[np.int64]) -> Iterator[Names]:
    paths = Paths(table, rows, whole=True)
    for begin in range(0, len(rows), PART):
        yield paths.by_folder(begin, begin + PART)
