"""Tell whether a folder holds what it held when its table was made: every file is asked again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssl_patches.data.index.extents import pool, results_in_order
from ssl_patches.data.index.table import FileTable
from ssl_patches.data.look import Mark, is_as_it_was

PART = 8192  # files of a task


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that is to be looked at again.

    ``names``: those that were in it, as ``FileTable.letters``; None: they have to be listed.
    """

    path: str
    mark: Mark
    names: bytes | None


def unchanged(root: str, table: FileTable) -> bool:
    """Tell whether each folder below ``root`` holds what it held when ``table`` was made.

    False where one was changed just before that. A folder that is new is a name more in the one
    that it lies in.
    """
    if not table.looked or not all(table.looked.values()):
        return False
    with pool(len(table) // 2) as workers:
        return all(results_in_order(workers, _parts(root, table), _as_they_were))


def _parts(root: str, table: FileTable) -> Iterator[list[_Folder]]:
    """Yield the folders, some with about ``PART`` files at a time."""
    # a folder with dates holds images and nothing else, so its images follow each other
    runs = {folder: (begin, end) for folder, begin, end in table.runs(0, len(table))}
    part, files = list[_Folder](), 0
    for below, mark in table.looked.items():
        if mark is None:
            continue
        begin, end = runs.get(below, (0, 0))
        names = table.letters(begin, end) if mark.dates and end > begin else None
        part.append(_Folder(os.path.join(root, below), mark, names))
        files += end - begin + 1
        if files >= PART:
            yield part
            part, files = [], 0
    yield part


def _as_they_were(folders: Sequence[_Folder]) -> bool:
    return all(is_as_it_was(each.path, each.mark, each.names) for each in folders)
