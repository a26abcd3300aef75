"""Give the files of a table to ``layout.divide``, which divides them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.index.table import FileTable
from ssl_patches.data.placed import below_of, place


class TableImages:
    """The files of a table, in the order of their paths, as ``layout.divide`` takes them."""

    def __init__(self, table: FileTable) -> None:
        self.table, self.folders = table, table.folders

    @cached_property
    def folder_of(self) -> NDArray[np.int32]:
        """Return the folder of each file, (N,)."""
        return self.table.folder_of

    def least_names(self) -> Sequence[str]:
        """Return the first name in each folder; "" for a folder without files."""
        found = [""] * len(self.folders)
        first, folder = (self.table.columns[name] for name in ("run_first", "run_folder"))
        for at, number in zip(first.tolist(), folder.tolist(), strict=True):
            found[number] = found[number] or self.table.base_names(at, at + 1)[0]
        return found

    def places(self, chosen: NDArray[np.int64], *, below: bool) -> NDArray[np.uint8]:
        """Return ``placed.place`` of some paths, (M,).

        Those of paths without the folder of a split are kept; where it counts, they are counted.
        """
        found = self.table.columns["places"][chosen]
        sided = np.array([below_of(folder)[0] is not None for folder in self.folders], bool)
        if not below and sided.any():
            for at in np.flatnonzero(sided[self.folder_of[chosen]]).tolist():
                found[at] = place(self.table.name(int(chosen[at])))
        return found

    def twins(
        self, some: NDArray[np.int64], others: NDArray[np.int64]
    ) -> Sequence[tuple[int, int]]:
        """Return those of ``some`` that are one file with one of ``others``, and the last such."""
        numbers, devices = (self.table.columns[name] for name in ("numbers", "devices"))
        both = some[np.isin(numbers[some], numbers[others]) & (numbers[some] >= 0)]
        there = others[np.isin(numbers[others], numbers[both])]
        last = {(int(devices[at]), int(numbers[at])): at for at in there.tolist()}
        files = [(at, (int(devices[at]), int(numbers[at]))) for at in both.tolist()]
        return [(at, last[file]) for at, file in files if file in last]

    def path_of(self, at: int) -> str:
        """Return the path of a file below the root."""
        return self.table.name(at)
