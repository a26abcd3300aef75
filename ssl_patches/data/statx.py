"""Ask Linux about the files of a folder by ``statx``, whose answers numpy reads where they lie.

``os.stat`` makes a tuple of twenty objects for each file, of which six numbers are wanted: a third
of the time that a folder takes. ``look.py`` asks by it where ``statuses`` returns None; the numbers
are the same (``tests/data/test_statx.py``).

Source: statx(2) and ``linux/stat.h``, whose layout is one for all processors.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

FILES = 512  # asked for at a time
_BYTES = 256
_FIELDS = {
    "mask": ("u4", 0),
    "mode": ("u2", 28),
    "number": ("u8", 32),
    "size": ("u8", 40),
    "changed": ("i8", 96),
    "changed_ns": ("u4", 104),
    "modified": ("i8", 112),
    "modified_ns": ("u4", 120),
    "major": ("u4", 136),
    "minor": ("u4", 140),
}
"""Numbers of ``struct statx``: type, and where it begins."""
_ANSWER = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [kind for kind, _ in _FIELDS.values()],
        "offsets": [place for _, place in _FIELDS.values()],
        "itemsize": _BYTES,
    }
)
_FOLLOW = 0x800  # links, and mount nothing: AT_NO_AUTOMOUNT, as stat does
_WANTED = 0x3C1  # STATX_TYPE, MTIME, CTIME, INO, SIZE
_DATED = {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630}
"""Kinds of file systems (``linux/magic.h``): ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs."""
_MASK = 2**63 - 1  # numbers of files may take all 64 bits


class _Room(threading.local):
    """Where the answers are written, in each thread another place."""

    def __init__(self) -> None:
        self.answers = np.zeros(FILES, _ANSWER)
        first = self.answers.ctypes.data
        self.places = [ctypes.c_void_p(first + at * _BYTES) for at in range(FILES)]


def statuses(folder: int, names: Sequence[bytes]) -> NDArray[np.int64] | None:
    """Return what the system says of files, (N, 6): mode, size, times of modification and of change
    in nanoseconds, number, device.

    ``folder``: the descriptor of the folder that they lie in. None where one of them cannot be
    asked, or none can be here.
    """
    if _statx is None:
        return None
    found = np.empty((len(names), 6), np.int64)
    for at in range(0, len(names), FILES):
        some = names[at : at + FILES]
        # a number other than 0 is a refusal
        if any(map(_statx, repeat(folder), some, repeat(_FOLLOW), repeat(_WANTED), _room.places)):
            return None
        said, part = _room.answers[: len(some)], found[at : at + FILES]
        if ((said["mask"] & _WANTED) != _WANTED).any():
            return None
        part[:, 0] = said["mode"]
        part[:, 1] = said["size"]
        for column, name in ((2, "modified"), (3, "changed")):
            part[:, column] = said[name] * 1_000_000_000 + said[f"{name}_ns"]
        part[:, 4] = said["number"] & _MASK
        part[:, 5] = _devices(said["major"], said["minor"])
    return found


def dates_folders(folder: str) -> bool:
    """Tell whether a folder surely has another time of change once a name in it comes or goes.

    POSIX asks for it and the file systems of ``_DATED`` do it. Others are a server's, or may have
    been written by another system that does not (FAT).
    """
    if _statfs is None:
        return False
    said = (ctypes.c_long * 64)()  # longer than the answer, whose first number is the kind
    return _statfs(os.fsencode(folder), said) == 0 and said[0] & 0xFFFFFFFF in _DATED


def _devices(major: NDArray[np.uint32], minor: NDArray[np.uint32]) -> int | NDArray[np.int64]:
    """Return the numbers of devices as ``os.stat`` has them."""
    if (major == major[0]).all() and (minor == minor[0]).all():
        return os.makedev(int(major[0]), int(minor[0])) & _MASK
    pairs = zip(major.tolist(), minor.tolist(), strict=True)
    return np.array([os.makedev(*pair) & _MASK for pair in pairs], np.int64)


def _function(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; it lets other threads go on while it waits."""
    if sys.platform != "linux":
        return None
    try:
        found: Callable[..., int] = ctypes.CDLL(None)[name]
    except (OSError, AttributeError):  # before glibc 2.28 and musl 1.2.3
        return None
    return found


_statx, _statfs, _room = _function("statx"), _function("statfs"), _Room()
