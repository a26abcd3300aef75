"""List the images of a folder: from the table that is kept, where nothing changed, or anew.

*Is it still the same?* Every file is asked for size, number and times of change, and every folder
is listed whose own dates do not say that its names are those of before; their digests have to be
those of the table (``look.py``, ``unchanged.py``). Nothing is opened.

*Anew* the folder is walked through, and headers are read of those files that are new or were
written since. A file that changed within ``RACY`` before the walk may change again and look the
same, so neither it nor its folder is believed at the next start.

The processes of one run do not each ask again: the first hands on which tables it found right
(``handed``), and the others believe those.

Folders of fewer than ``LEAST`` images are listed anew each time: that takes less than a tenth of a
second. Tests in ``tests/data/index`` change folders at random and compare.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from ssl_patches.config import locks
from ssl_patches.config.malloc import give_back_freed_memory
from ssl_patches.config.plain_text import tell
from ssl_patches.data.index.kept import KeptTable, keep, open_kept, place_of, table_key
from ssl_patches.data.index.known import with_headers
from ssl_patches.data.index.table import FileTable
from ssl_patches.data.index.unchanged import unchanged
from ssl_patches.data.index.walked import walked

LEAST = 1000  # images from which a table is kept
WAIT = 0.5  # seconds between two looks whether another process is done
HANDED = "SSL_PATCHES_TABLES"
_right: dict[str, str] = {}
_here: ContextVar[dict[str, FileTable] | None] = ContextVar("tables", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Look at each folder once within the block: a command sees one state of its images.

    After the block memory that was needed for a moment is given back.
    """
    if _here.get() is not None:
        yield
        return
    tables: dict[str, FileTable] = {}
    token = _here.set(tables)
    try:
        yield
    finally:
        _here.reset(token)
        for table in tables.values():
            table.rest()
        if tables:  # what dividing so many images took for a moment
            give_back_freed_memory()


def handed() -> dict[str, str]:
    """Return the variable by which a process that is started now believes the tables of this one.

    It is for processes that do the same at the same time, as those of one run.
    """
    return {HANDED: json.dumps(_right)} if _right else {}


def list_folder(root: str, *, channels: int) -> FileTable:
    """Return the table of all images below ``root``. ValueError where a folder may not be listed.

    ``channels``: those that samples must have, for headers that say other things are damaged.
    """
    key = table_key(root, channels)
    known = _here.get()
    if known is not None and key in known:
        return known[key]
    found = _listed(root, key, channels)
    found.root = root
    if isinstance(found, KeptTable):
        _right[key] = found.written
    if known is not None and len(found) >= LEAST:
        known[key] = found
    return found


def _listed(root: str, key: str, channels: int) -> FileTable:
    file = place_of(key)
    before = open_kept(file, key)
    if before is not None and (_told().get(key) == before.written or unchanged(root, before)):
        return before
    started = time.time_ns()
    table, stamps = walked(root)
    if file is None or len(table) < LEAST:
        if file is not None and before is not None:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        return with_headers(table, stamps, None, channels, started)
    told = False
    while True:
        with _alone(file) as ours:
            other = open_kept(file, key)
            newer = other is not None and (before is None or other.written != before.written)
            if newer and other is not None and unchanged(root, other):
                return other
            if ours:
                full = with_headers(table, stamps, other, channels, started)
                return keep(full, file, key) or full
        if not told:
            tell(f"{root}: {locks.owner(file)} lists it; waiting for it", file=sys.stderr)
        told = True
        time.sleep(WAIT)


def _told() -> dict[str, str]:
    """Return the tables that another process of this run found right: key -> which one."""
    try:
        found = json.loads(os.environ.get(HANDED, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


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
