"""List the images of a folder: from the table that is kept, where nothing changed, or anew.

*Is it still the same?* Every folder below is listed and every file asked for size, number and times
of change; their digests have to be those of the table (``look.py``). Nothing is opened.

*Anew* the folder is walked through, and headers are read of those files that are new or were
written since. A file that changed within ``RACY`` before the walk may change again and look the
same, so neither it nor its folder is believed at the next start.

Folders of fewer than ``LEAST`` images are listed anew each time: that takes less than a tenth of a
second. Tests in ``tests/data/index`` change folders at random and compare.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ssl_patches.config import locks
from ssl_patches.config.keys import key_of
from ssl_patches.data.beside import beside_arrays, masks_in
from ssl_patches.data.decode import DECODERS
from ssl_patches.data.formats import unreadable_suffixes
from ssl_patches.data.index.extents import PART, extents_of, pool, results_in_order
from ssl_patches.data.index.kept import keep, open_kept, place_of
from ssl_patches.data.index.table import CORRUPT, HUGE, FileTable, Paths, laid, suffixes_of
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.look import (
    CHANGED,
    DEVICE,
    NUMBER,
    RACY,
    SIZE,
    VALUES,
    is_as_it_was,
    numbers_of,
)
from ssl_patches.data.no_images import MASKS
from ssl_patches.data.placed import below_of
from ssl_patches.data.suffixes import SUFFIXES, UNREAD
from ssl_patches.data.tiff import has_tifffile
from ssl_patches.data.walk import Walk

LEAST = 1000  # images from which a table is kept
RULES = 1  # of what a table holds; raise it when they change
WAIT = 0.5  # seconds between two looks whether another process is done
_here: ContextVar[dict[str, FileTable] | None] = ContextVar("tables", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Look at each folder once within the block: a command sees one state of its images."""
    if _here.get() is not None:
        yield
        return
    token = _here.set({})
    try:
        yield
    finally:
        _here.reset(token)


def list_folder(root: str, *, channels: int) -> FileTable:
    """Return the table of all images below ``root``. ValueError where a folder may not be listed.

    ``channels``: those that samples must have, for headers that say other things are damaged.
    """
    key = key_of(
        root=os.path.abspath(root),
        rules=RULES,
        channels=channels,
        decoders=DECODERS,
        suffixes=[SUFFIXES, UNREAD],
        without=sorted(unreadable_suffixes()),
        tifffile=has_tifffile(),
        limit=Image.MAX_IMAGE_PIXELS,  # which another program may have set
    )
    known = _here.get()
    if known is not None and key in known:
        return known[key]
    found = _listed(root, key, channels)
    found.root = root
    if known is not None and len(found) >= LEAST:
        known[key] = found
    return found


def _listed(root: str, key: str, channels: int) -> FileTable:
    file = place_of(key)
    before = open_kept(file, key)
    if before is not None and unchanged(root, before.looked, images=len(before)):
        return before
    started = time.time_ns()
    table, stamps = _walked(root)
    if file is None or len(table) < LEAST:
        if file is not None and before is not None:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        return _with_headers(table, stamps, None, channels, started)
    told = False
    while True:
        with _alone(file) as ours:
            other = open_kept(file, key)
            newer = other is not None and (before is None or other.written != before.written)
            if newer and other is not None and unchanged(root, other.looked, images=len(other)):
                return other
            if ours:
                full = _with_headers(table, stamps, other, channels, started)
                return keep(full, file, key) or full
        if not told:
            print(f"{root}: {locks.owner(file)} lists it; waiting for it", file=sys.stderr)
        told = True
        time.sleep(WAIT)


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Lock a table for the block; without a place for locks go on as if alone."""
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        yield True
        return
    with locks.locked(file) as ours:
        yield ours


def unchanged(root: str, looked: dict[str, str], *, images: int) -> bool:
    """Tell whether each folder below ``root`` holds what it held when its digest was taken.

    ``looked``: the digests of all of them, "" of those that are not to be believed. A folder that
    is new is a name more in the one that it lies in. ``images``: how many there are below.
    """
    if not looked or not all(looked.values()):
        return False
    folders = [(os.path.join(root, below), digest) for below, digest in looked.items()]
    size = max(1, len(folders) * PART // max(images, 1))
    parts = (folders[at : at + size] for at in range(0, len(folders), size))
    with pool(images // 2) as workers:
        return all(results_in_order(workers, parts, _as_they_were))


def _as_they_were(folders: Sequence[tuple[str, str]]) -> bool:
    return all(is_as_it_was(folder, bytes.fromhex(digest)) for folder, digest in folders)


def _walked(root: str) -> tuple[FileTable, NDArray[np.int64]]:
    """Walk through a folder; return its images, without headers, and the times of their changes."""
    walk, folders = Walk(root), dict[str, int]()
    names: list[bytes] = []
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in _PARTS}
    places: list[NDArray[np.uint8]] = []
    suffixes: list[NDArray[np.uint8]] = []
    bar = tqdm(desc=f"listing {root}", unit="file", delay=2, disable=not sys.stderr.isatty())
    with bar:
        for run in walk.runs():
            encoded = [os.fsencode(name) for name in run.names]
            names.append(b"".join(encoded))
            values = numbers_of(run.values)
            parts["length"].append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
            number = folders.setdefault(run.below, len(folders))
            parts["folder"].append(np.full(len(encoded), number, np.int64))
            parts["values"].append(values)
            places.append(_places(below_of(run.below)[2], encoded))
            suffixes.append(suffixes_of(run.names))
            bar.update(len(encoded))
    values = _joined(parts["values"], (0, VALUES))
    lengths, folder_of = _joined(parts["length"], (0,)), _joined(parts["folder"], (0,))
    columns = laid(np.frombuffer(b"".join(names), np.uint8), lengths, folder_of)
    columns |= {
        "sizes": np.maximum(values[:, SIZE], 0),
        "numbers": values[:, NUMBER].copy(),
        "devices": values[:, DEVICE].copy(),
        "stamps": _stamps(values),
        "places": np.concatenate(places) if places else np.zeros(0, np.uint8),
        "suffixes": np.concatenate(suffixes) if suffixes else np.zeros(0, np.uint8),
        "states": np.zeros(len(values), np.uint8),
        "extents": np.zeros((len(values), 2), np.uint32),
    }
    looked = {below: f"{digest.hex()} {newest}" for below, (digest, newest) in walk.looked.items()}
    table = FileTable(root, columns, list(folders), looked=looked)
    changed = values[:, CHANGED].copy()
    rows, computed = beside_arrays(columns["suffixes"], table.name, walk.aside)
    if rows is not None:
        table, changed = table.take(rows), changed[rows]
    table.others = walk.others + computed
    table.left = [*walk.aside.told(), *_masks(table)]
    return table, changed


_PARTS = ("length", "folder", "values")


def _joined(parts: Sequence[NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(shape, np.int64)


def _places(below: str, names: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return ``placed.place`` of the files of one folder, (N,)."""
    before = hashlib.sha256(os.fsencode(below))
    digests = []
    for name in names:
        content = before.copy()
        content.update(name)
        digests.append(content.digest()[:4])
    return (np.frombuffer(b"".join(digests), ">u4") % 100).astype(np.uint8)


def _stamps(values: NDArray[np.int64]) -> NDArray[np.uint64]:
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
        if folder.rstrip("/").rpartition("/")[2].lower() in (*MASKS, "mask")
    }
    if not like:
        return []
    inside: dict[str, list[str]] = {}
    elsewhere: list[str] = []
    for folder, begin, end in table.runs(0, len(table)):
        names = [folder + name for name in table.base_names(begin, end)]
        (inside.setdefault(folder, []) if folder in like else elsewhere).extend(names)
    return masks_in(inside, elsewhere)


def _with_headers(
    table: FileTable,
    changed: NDArray[np.int64],
    before: FileTable | None,
    channels: int,
    started: int,
) -> FileTable:
    """Fill in what headers say, read only where ``before`` does not know it."""
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
            ordinary=True,
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
    if all(looked_at.values()):
        state = key_of(root=os.path.abspath(table.root), looked=sorted(looked_at.items()))
    return FileTable(
        table.root, columns, table.folders, reasons, looked_at, table.others, table.left, state
    )


def _believed(table: FileTable, started: int, passing: Sequence[int]) -> dict[str, str]:
    """Return the digests of folders, "" where a file was changed just before the walk."""
    found = {}
    for below, said in table.looked.items():
        digest, newest = said.split(" ")
        found[below] = "" if int(newest) > started - RACY else digest
    folder_of = table.folder_of
    for row in passing:
        found[table.folders[int(folder_of[row])]] = ""
    return found


def _known(
    table: FileTable,
    before: FileTable,
    unknown: NDArray[np.bool_],
    columns: dict[str, NDArray[np.generic]],
    reasons: dict[int, str],
) -> None:
    """Take over what the headers of files said that were not written since."""
    there: dict[str, list[tuple[int, int]]] = {}
    for folder, begin, end in before.runs(0, len(before)):
        there.setdefault(folder, []).append((begin, end))
    old_stamps, stamps = np.asarray(before.columns["stamps"]), columns["stamps"]
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
        same = old >= 0
        same[same] = old_stamps[old[same]] == stamps[new[same]]
        new, old = new[same], old[same]
        unknown[new] = False
        columns["extents"][new] = before.columns["extents"][old]
        columns["states"][new] = before.columns["states"][old]
        for at in np.flatnonzero(before.columns["states"][old]).tolist():
            reasons[int(new[at])] = before.reasons[int(old[at])]


def _paths(table: FileTable, rows: NDArray[np.int64]) -> Iterator[list[str]]:
    paths = Paths(table, rows, whole=True)
    for begin in range(0, len(rows), PART):
        yield paths.some(begin, begin + PART)
