"""Walk through a folder into a table: names, sizes, times of change; nothing is opened."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_patches.config.plain_text import printable
from ssl_patches.data.beside import beside_arrays, masks_in
from ssl_patches.data.index.table import FileTable, laid, suffixes_of
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.look import CHANGED, DEVICE, NUMBER, SIZE, VALUES, Mark
from ssl_patches.data.no_images import MASK_NAMES
from ssl_patches.data.placed import below_of
from ssl_patches.data.walk import Walk


def walked(root: str) -> tuple[FileTable, NDArray[np.int64]]:
    """Walk through a folder; return its images, without headers, and the times of their changes."""
    walk, folders = Walk(root), dict[str, int]()
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _PARTS}
    bar = tqdm(
        desc=printable(f"listing {root}"), unit="file", delay=2, disable=not sys.stderr.isatty()
    )
    with bar:
        for run in walk.runs():
            text = os.fsencode("\0".join(run.names))
            letters = np.frombuffer(text + b"\0", np.uint8)
            lengths = np.diff(np.flatnonzero(letters == 0), prepend=-1)
            number = folders.setdefault(run.below, len(folders))
            parts["names"].append(letters)
            parts["length"].append(lengths)
            parts["folder"].append(np.full(len(lengths), number, np.int32))
            parts["values"].append(run.values)
            parts["places"].append(_places(below_of(run.below)[2], text.split(b"\0")))
            parts["suffixes"].append(suffixes_of(run.names))
            bar.update(len(lengths))
    values = _joined(parts["values"], (0, VALUES))
    names, lengths, folder_of, places, suffixes = (
        _joined(parts[name], (0,)) for name in ("names", "length", "folder", "places", "suffixes")
    )
    columns = laid(names, lengths, folder_of)
    columns |= {
        "sizes": np.maximum(values[:, SIZE], 0),
        "numbers": values[:, NUMBER].copy(),
        "devices": values[:, DEVICE].copy(),
        "stamps": stamps_of(values),
        "places": places.astype(np.uint8),
        "suffixes": suffixes.astype(np.uint8),
        "states": np.zeros(len(values), np.uint8),
        "extents": np.zeros((len(values), 2), np.uint32),
    }
    looked: dict[str, Mark | None] = dict(walk.looked)
    table = FileTable(root, columns, list(folders), looked=looked)
    changed = values[:, CHANGED].copy()
    rows, computed = beside_arrays(columns["suffixes"], table.name, walk.aside)
    if rows is not None:
        table, changed = table.take(rows), changed[rows]
        # their names are not all those of their images
        table.looked = {below: replace(mark, dates=()) for below, mark in walk.looked.items()}
    table.others = walk.others + computed
    table.left = [*walk.told(), *_masks(table)]
    return table, changed


_PARTS = ("names", "length", "folder", "values", "places", "suffixes")


def _joined(parts: list[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return all parts in one array; they are let go of."""
    found = np.concatenate(parts) if parts else np.zeros(shape, np.int64)
    parts.clear()
    return found


def _places(below: str, names: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return ``placed.place`` of the files of one folder, (N,)."""
    begin, digests = hashlib.sha256(os.fsencode(below)).copy, []
    for name in names:
        content = begin()
        content.update(name)
        digests.append(content.digest())
    first = np.frombuffer(b"".join(digests), ">u4")[::8]  # of 32 bytes
    return (first % 100).astype(np.uint8)


def stamps_of(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Mix what is known of each file, (N, VALUES), into one number that differs where it does."""
    found = np.full(len(values), 0x9E3779B97F4A7C15, np.uint64)
    for column in values[:, :DEVICE].T.astype(
        np.uint64
    ):  # the finaliser of splitmix64 (Steele et al., 2014)
        found = (found ^ column) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return np.maximum(found, np.uint64(1))  # 0: not to be believed


def _masks(table: FileTable) -> list[LeftOut]:
    """Say which folders may hold masks of images that lie elsewhere."""
    like = {
        folder
        for folder in table.folders
        if folder.rstrip("/").rpartition("/")[2].lower() in MASK_NAMES
    }
    if not like:
        return []
    inside: dict[str, list[str]] = {}
    elsewhere: list[str] = []
    for folder, begin, end in table.runs(0, len(table)):
        names = [folder + name for name in table.base_names(begin, end)]
        (inside.setdefault(folder, []) if folder in like else elsewhere).extend(names)
    return masks_in(inside, elsewhere)
