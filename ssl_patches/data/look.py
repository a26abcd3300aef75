"""Look at one folder: its files with size and times of change, its folders, and a digest of it all.

Whoever looks twice and finds the same digest has found the same names, and files that nobody wrote
in between: a write, a rename and a change of rights each set a file's time of change (``ctime``),
which no program can set back. Two writes within one tick of the file system's clock are the
exception; see ``RACY``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import attrgetter
from stat import S_IFDIR, S_IFREG

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.statx import dates_folders, statuses

VALUES = 5
SIZE, MODIFIED, CHANGED, NUMBER, DEVICE = range(VALUES)
"""What is known of a file: size in bytes, two times in nanoseconds, its number and its device."""
MASK = 2**63 - 1  # numbers of files may take all 64 bits
POSIX = os.name == "posix"
NOWHERE = -1
KIND = 0o170000  # the bits of a mode that say what a file is
FIELDS: tuple[str, ...] = ("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")
if not POSIX:  # where st_ctime is the time of a file's making
    FIELDS = tuple(name.replace("st_ctime", "st_mtime") for name in FIELDS)
BY_FOLDER = os.listdir in os.supports_fd and os.stat in os.supports_dir_fd
RACY = 3_000_000_000
"""Nanoseconds within which a file may change and its time not: the slowest clock of a file system
in use (FAT) ticks every 2 s. Git has the same rule for its index ("racy git")."""
UNREADABLE, CIRCLE = b"may not be listed", b"circle "


@dataclass(frozen=True, slots=True)
class Mark:
    """Tell a folder from what it becomes when anything in it changes.

    ``digest``: 16 bytes that differ where anything does that ``Seen`` holds, but for the device.
    ``newest``: the latest time at which a file was changed, in nanoseconds, 0 without files.
    ``dates``: the folder's own times of modification and of change, and its number; while they are
    the same its names are. Empty where its file system does not promise that, or where it holds
    anything but visible files.
    """

    digest: bytes
    newest: int = 0
    dates: tuple[int, ...] = ()


@dataclass(slots=True)
class Seen:
    """What a folder holds, each list in the order of the names.

    ``files``: visible files, and links to nowhere. ``values`` (N, ``VALUES``): of each, -1 for a
    link to nowhere. ``special``: visible, and neither file nor folder.
    """

    files: list[str]
    values: NDArray[np.int64]
    mark: Mark
    folders: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    hidden_files: list[str] = field(default_factory=list)
    hidden_folders: list[str] = field(default_factory=list)


def look_into(folder: str) -> Seen:
    """Look at a folder; OSError where it may not be listed."""
    dates = _dates(folder)
    text, found = _read(folder, FIELDS)
    digest, plain = _digest(text, found)
    names = os.fsdecode(text).split("\0") if len(found) else []
    newest = max(0, int(found[:, 1 + CHANGED].max(initial=0)))
    if plain is None:
        return Seen(names, found[:, 1:], Mark(digest, newest, dates))
    seen = Seen([], found[:, 1:], Mark(digest))
    hidden = (seen.hidden_files, seen.hidden_folders)
    files = []
    for at, (name, kind) in enumerate(zip(names, found[:, 0].tolist(), strict=True)):
        if name[0] == ".":
            hidden[kind == S_IFDIR].append(name)
        elif kind == S_IFDIR:
            seen.folders.append(name)
        elif kind in (S_IFREG, NOWHERE):
            seen.files.append(name)
            files.append(at)
        else:
            seen.special.append(name)
    seen.values = seen.values[files]
    seen.mark = Mark(digest, max(0, int(seen.values[:, CHANGED].max(initial=0))))
    return seen


def _dates(folder: str) -> tuple[int, ...]:
    """Return ``Mark.dates`` of a folder."""
    if not dates_folders(folder):
        return ()
    status = os.stat(folder)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(
    folder: str, fields: Sequence[str], text: bytes | None = None
) -> tuple[bytes, NDArray[np.int64]]:
    """Return the names in a folder, sorted and joined by zeros, and what ``os.stat`` says of each.

    ``fields``: which of it. ``text``: the names, joined so, where they need not be listed.
    """
    if not BY_FOLDER:
        return _read_slowly(folder, fields)
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if text is None:
            listed = os.listdir(here)
            listed.sort()
            text = os.fsencode("\0".join(listed))
        names = text.split(b"\0") if text else []
        said = statuses(here, names)
        if said is not None:
            return text, said[:, : len(fields)]
        try:
            found = map(partial(os.stat, dir_fd=here), names)
            return text, _table(map(attrgetter(*fields), found), len(names), len(fields))
        except (OSError, OverflowError):  # a link to nowhere, a number beyond 63 bits
            return _read_slowly(folder, fields)
    finally:
        os.close(here)


def _read_slowly(folder: str, fields: Sequence[str]) -> tuple[bytes, NDArray[np.int64]]:
    """Return what ``_read`` does, asking again what failed."""
    said, rows = attrgetter(*fields), []
    with os.scandir(folder) as entries:
        found = sorted(entries, key=attrgetter("name"))
    for entry in found:
        try:
            rows.append([each & MASK for each in said(os.stat(os.path.join(folder, entry.name)))])
            continue
        except OSError:
            pass
        try:  # of a folder that may not be looked into a name may tell
            is_folder = entry.is_dir()
        except OSError:  # a link in a circle
            is_folder = False
        rows.append([S_IFDIR if is_folder else NOWHERE, *(NOWHERE,) * (len(fields) - 1)])
    text = os.fsencode("\0".join(entry.name for entry in found))
    return text, _table(rows, len(found), len(fields))


def _table(rows: Iterable[Iterable[int]], count: int, width: int) -> NDArray[np.int64]:
    flat = np.fromiter(chain.from_iterable(rows), np.int64, count * width)
    return flat.reshape(count, width)


def _digest(text: bytes, found: NDArray[np.int64]) -> tuple[bytes, NDArray[np.bool_] | None]:
    """Return the digest of a folder, and which names are visible files; None where all are.

    ``text``, ``found``: as of ``_read``; the first column becomes the kind of each. Of what is no
    visible file name and kind count alone: what lies in a folder has a digest of its own.
    """
    kinds = found[:, 0]
    kinds[kinds != NOWHERE] &= KIND
    plain = None
    values = found[:, : 1 + DEVICE]  # the device may have another number after each boot
    if (b"\0" + text).find(b"\0.") >= 0 or (kinds != S_IFREG).any():
        plain = kinds == S_IFREG
        names = text.split(b"\0") if len(found) else []
        plain[[at for at, name in enumerate(names) if name[:1] == b"."]] = False
        values = np.where(plain[:, None], values, NOWHERE)
        values[:, 0] = kinds
    content = hashlib.blake2b(b"%d %d\0" % (len(found), len(text)), digest_size=16)
    content.update(text)
    content.update(np.ascontiguousarray(values).data)
    return content.digest(), plain


def sizes_and_times(folder: str, names: Sequence[str]) -> list[str]:
    """Return size and time of modification in nanoseconds of some files in a folder, as text.

    "missing" for those that cannot be asked.
    """
    said = None
    if BY_FOLDER and names:
        with suppress(OSError):
            here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                said = statuses(here, os.fsencode("\0".join(names)).split(b"\0"))
            finally:
                os.close(here)
    if said is not None:
        values = said[:, 1 + SIZE : 2 + MODIFIED].tolist()
        return [f"{size} {modified}" for size, modified in values]
    found = []
    for name in names:
        try:
            status = os.stat(os.path.join(folder, name))
            found.append(f"{status.st_size} {status.st_mtime_ns}")
        except OSError:
            found.append("missing")
    return found


def circle(status: os.stat_result) -> bytes:
    """Return what stands for a folder that is one of those that it lies in, by a link."""
    return CIRCLE + b"%d" % status.st_ino


def is_as_it_was(folder: str, mark: Mark, names: bytes | None = None) -> bool:
    """Tell whether a folder holds what it held when ``mark`` was made of it.

    ``names``: of all that it held then, sorted and joined by zeros; they are listed again where its
    dates do not say that they are the same. ``mark`` may be of a folder that is not looked into
    (``UNREADABLE``, ``circle``).
    """
    try:
        if mark.digest.startswith(CIRCLE):
            return circle(os.stat(folder)) == mark.digest
        if names is not None and (not mark.dates or _dates(folder) != mark.dates):
            names = None
        return _digest(*_read(folder, FIELDS[:-1], names))[0] == mark.digest
    except PermissionError:
        return mark.digest == UNREADABLE
    except OSError:
        return False
