"""Make the table of files that a list names, with what their headers say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice

import numpy as np

from ssl_patches.data.index.extents import PART, by_folder, extents_of
from ssl_patches.data.index.table import CORRUPT, HUGE, OK, FileTable, laid, suffixes_of


def listed_table(names: Sequence[str], root: str, *, channels: int) -> FileTable:
    """Return the table of files ``names`` below ``root``, in that order; headers are read.

    ``channels``: those that samples must have. OSError for a file that goes meanwhile.
    """
    folders: dict[str, int] = {}
    cuts = [name.rfind("/") + 1 for name in names]
    folder_of = [
        folders.setdefault(name[:cut], len(folders)) for name, cut in zip(names, cuts, strict=True)
    ]
    encoded = [os.fsencode(f"{name[cut:]}\0") for name, cut in zip(names, cuts, strict=True)]
    lengths = np.array([len(each) for each in encoded], np.int64)
    columns = laid(
        np.frombuffer(b"".join(encoded), np.uint8), lengths, np.array(folder_of, np.int64)
    )
    columns |= {
        "sizes": np.zeros(len(names), np.int64),
        "extents": np.zeros((len(names), 2), np.uint32),
        "suffixes": suffixes_of(names),
        "states": np.zeros(len(names), np.uint8),
    }
    table = FileTable(root, columns, list(folders))
    paths = (os.path.join(root, name) for name in names)
    parts = iter(lambda: by_folder(islice(paths, PART)), [])
    begin = 0
    for looked in extents_of(parts, count=len(names), channels=channels, where=root):
        end = begin + len(looked.extents)
        columns["extents"][begin:end] = looked.extents
        for at, damaged in looked.damaged.items():
            columns["states"][begin + at] = HUGE if damaged.huge else CORRUPT
            table.reasons[begin + at] = damaged.reason
        begin = end
    for at in np.flatnonzero(columns["states"] == OK).tolist():
        columns["sizes"][at] = os.path.getsize(os.path.join(root, names[at]))
    return table
