"""Look at one folder: its files with size and times of change, its folders, and a digest of it all.

Whoever looks twice and finds the same digest has found the same names, and files that nobody wrote
in between: a write, a rename and a change of rights each set a file's time of change (``ctime``),
which no program can set back. Two writes within one tick of the file system's clock are the
exception; see ``RACY``.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from dataclasses import dataclass, field
from operator import attrgetter
from stat import S_ISREG

import numpy as np
from numpy.typing import NDArray

VALUES = 5
SIZE, MODIFIED, CHANGED, NUMBER, DEVICE = range(VALUES)
"""What is known of a file: size in bytes, two times in nanoseconds, its number and its device."""
MASK = 2**63 - 1  # numbers of files may take all 64 bits
POSIX = os.name == "posix"
NOWHERE = (-1,) * VALUES
RACY = 3_000_000_000
"""Nanoseconds within which a file may change and its time not: the slowest clock of a file system
in use (FAT) ticks every 2 s. Git has the same rule for its index ("racy git")."""
UNREADABLE, CIRCLE = b"may not be listed", b"circle "


@dataclass(slots=True)
class Seen:
    """What a folder holds, each list in the order of the names.

    ``files``: visible files, and links to nowhere. ``values``: ``VALUES`` numbers of each, -1 for a
    link to nowhere. ``special``: visible, and neither file nor folder.
    """

    files: list[str] = field(default_factory=list)
    values: array[int] = field(default_factory=lambda: array("q"))
    folders: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    hidden_files: list[str] = field(default_factory=list)
    hidden_folders: list[str] = field(default_factory=list)

    def digest(self) -> bytes:
        """Return 16 bytes that differ where anything here does."""
        lists = (self.files, self.folders, self.special, self.hidden_files, self.hidden_folders)
        content = hashlib.blake2b(digest_size=16)
        for names in lists:
            content.update(b"%d\0" % len(names))
            content.update(os.fsencode("\0".join(names)))
        if self.values:
            # without the device: its number may be another one after each boot
            content.update(numbers_of(self.values)[:, :DEVICE].tobytes())
        return content.digest()

    def newest(self) -> int:
        """Return the latest time of change of a file, in nanoseconds; 0 where there is none."""
        return max(self.values[CHANGED::VALUES], default=0)


def numbers_of(values: array[int]) -> NDArray[np.int64]:
    """Return what is known of files as (N, VALUES)."""
    return np.frombuffer(values, np.int64).reshape(-1, VALUES)


def look_into(folder: str) -> Seen:
    """Look at a folder; OSError where it may not be listed."""
    seen = Seen()
    with os.scandir(folder) as found:
        entries = sorted(found, key=attrgetter("name"))
    files, values = seen.files, seen.values
    for entry in entries:
        name = entry.name
        try:
            is_folder = entry.is_dir()
        except OSError:  # a link in a circle
            is_folder = False
        if name[0] == ".":
            (seen.hidden_folders if is_folder else seen.hidden_files).append(name)
        elif is_folder:
            seen.folders.append(name)
        else:
            try:
                at = entry.stat()
            except OSError:
                files.append(name)
                values.extend(NOWHERE)
                continue
            if not S_ISREG(at.st_mode):
                seen.special.append(name)
                continue
            files.append(name)
            changed = at.st_ctime_ns if POSIX else at.st_mtime_ns  # elsewhere: of its making
            numbers = (at.st_ino & MASK, at.st_dev & MASK)
            values.extend((at.st_size, at.st_mtime_ns, changed, *numbers))
    return seen


def circle(status: os.stat_result) -> bytes:
    """Return what stands for a folder that is one of those that it lies in, by a link."""
    return CIRCLE + b"%d" % status.st_ino


def is_as_it_was(folder: str, digest: bytes) -> bool:
    """Tell whether ``digest`` is that of a folder: of what it holds, or of one that is not looked
    into (``UNREADABLE``, ``circle``)."""
    try:
        if digest.startswith(CIRCLE):
            return circle(os.stat(folder)) == digest
        return look_into(folder).digest() == digest
    except PermissionError:
        return digest == UNREADABLE
    except OSError:
        return False
