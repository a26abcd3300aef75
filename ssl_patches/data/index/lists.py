"""Make the table of files that a list names, with what their headers say.

Headers are kept as those of a folder are (``kept.py``), and read again of files that were written
since: each is asked for size, number and times of change. A list that names other files, or the
same in another order, is read anew.

The trap: a list may name anything, a pipe too, so no file is opened before it was asked what it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.index.kept import keep, open_kept, place_of, table_key
from ssl_patches.data.index.known import with_headers
from ssl_patches.data.index.listing import LEAST
from ssl_patches.data.index.table import FileTable, laid, suffixes_of
from ssl_patches.data.index.walked import stamps_of
from ssl_patches.data.look import CHANGED, DEVICE, FIELDS, MASK, NOWHERE, NUMBER, SIZE, VALUES

UNUSED = ("places", "stamps", "numbers", "devices")
"""Columns that nobody asks the table of a list for."""


def listed_table(names: Sequence[str], root: str, *, channels: int, kept_as: str = "") -> FileTable:
    """Return the table of files ``names`` below ``root``, in that order.

    ``channels``: those that samples must have. ``kept_as``: which list this is, so that headers are
    known at the next start; "" keeps nothing.
    """
    started = time.time_ns()
    table, changed = _without_headers(names, root)
    place, key = None, ""
    if kept_as and len(names) >= LEAST:
        key = table_key(root, channels, list=kept_as)
        place = place_of(key)
    before = open_kept(place, key)
    if before is not None and not table.same_names(before):
        before = None
    found = with_headers(table, changed, before, channels, started, ordinary=False)
    stamps = found.columns["stamps"]
    stamps[changed == NOWHERE] = 0  # of what is missing nothing is known
    if place is not None and (
        before is None or not np.array_equal(before.columns["stamps"], stamps)
    ):
        keep(found, place, key)
    found.columns = {name: each for name, each in found.columns.items() if name not in UNUSED}
    return found


def _without_headers(names: Sequence[str], root: str) -> tuple[FileTable, NDArray[np.int64]]:
    """Return the table of some files, and when each was changed; -1 for those that are missing."""
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
    values = np.full((len(names), VALUES), NOWHERE, np.int64)
    said = attrgetter(*FIELDS[1:])
    for at, name in enumerate(names):
        try:
            values[at] = [each & MASK for each in said(os.stat(os.path.join(root, name)))]
        except OSError:  # told when its header is read
            continue
    columns |= {
        "sizes": np.maximum(values[:, SIZE], 0),
        "numbers": values[:, NUMBER].copy(),
        "devices": values[:, DEVICE].copy(),
        "stamps": stamps_of(values),
        "places": np.zeros(len(names), np.uint8),
        "suffixes": suffixes_of(names),
        "states": np.zeros(len(names), np.uint8),
        "extents": np.zeros((len(names), 2), np.uint32),
    }
    return FileTable(root, columns, list(folders)), values[:, CHANGED].copy()
