"""Keep the table of a folder in the user's cache folder, as one file that is mapped into memory.

The file is written aside and renamed, so it is whole or not there; two that build the same table
both write a right one, and the last stays. Its name is a hash of everything that decides what it
holds beside the folder itself. Whether the folder is still the same is asked every time
(``listing.py``). Nowhere to keep it (no home, a full or read-only disk): it is done without.

The trap: a table that was replaced while a process has it mapped. It keeps its pages until it ends,
but what it spawns would map the new one; ``written`` says that it is another.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssl_patches.config.atomic import replacing, write_text
from ssl_patches.config.keys import key_of
from ssl_patches.config.machine import cache_folder
from ssl_patches.config.outside import read_json
from ssl_patches.data.decode import DECODERS
from ssl_patches.data.formats import unreadable_suffixes
from ssl_patches.data.index.table import COLUMNS, FileTable
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.look import Mark
from ssl_patches.data.suffixes import SUFFIXES, UNREAD
from ssl_patches.data.tiff import has_tifffile

if sys.platform == "linux":
    from mmap import MADV_DONTNEED

RULES = 3  # of what a table holds; raise it when they change
MAGIC = b"ssl-patches index 3\n"
SUFFIX = ".index"
ALIGNED = 64  # bytes


class KeptTable(FileTable):
    """A table that lies in a file, ``place``; another process maps it again.

    ``written``: a name of its own for each that was ever written.
    """

    place: Path
    written: str
    whole: mmap

    def rest(self) -> None:
        """Give back the pages that were looked at; whoever asks again gets them from the file."""
        if sys.platform == "linux":
            self.whole.madvise(MADV_DONTNEED)

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "written": self.written, "root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        again = mapped_again(state["place"], state["written"])
        self.__dict__.update(again.__dict__ | {"root": state["root"]})


def table_key(root: str, channels: int, **of: str) -> str:
    """Return a hash of what decides a table beside the files below ``root``.

    ``channels``: those that samples must have. ``of``: which files, where it is not all of them.
    """
    return key_of(
        root=os.path.abspath(root),
        rules=RULES,
        channels=channels,
        decoders=DECODERS,
        suffixes=[SUFFIXES, UNREAD],
        without=sorted(unreadable_suffixes()),
        tifffile=has_tifffile(),
        limit=Image.MAX_IMAGE_PIXELS,  # which another program may have set
        **of,
    )


def place_of(key: str) -> Path | None:
    """Return the file that keeps the table ``key``; None for a user without a home."""
    folder = cache_folder("index")
    return None if folder is None else folder / f"{key[:32]}{SUFFIX}"


def keep(table: FileTable, place: Path, key: str) -> KeptTable | None:
    """Write a table, and return it mapped; None where it cannot be written."""
    head: dict[str, Any] = {
        "key": key,
        "root": os.path.abspath(table.root),
        "written": uuid.uuid4().hex,
        "state": table.state,
        "folders": table.folders,
        "reasons": table.reasons,
        "looked": {
            below: mark and [mark.digest.hex(), mark.newest, *mark.dates]
            for below, mark in table.looked.items()
        },
        "others": table.others,
        "left": [[each.count, each.what, each.example, each.why, each.fate] for each in table.left],
        "columns": {},
    }
    at = 0
    for name in COLUMNS:
        values = table.columns[name]
        head["columns"][name] = [at, list(values.shape)]
        at += -(-values.nbytes // ALIGNED) * ALIGNED
    head["bytes"] = at
    text = json.dumps(head).encode("ascii")
    begin = -(-(len(MAGIC) + 8 + len(text)) // ALIGNED) * ALIGNED
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place, durable=True) as aside, aside.open("wb") as file:
            file.write(MAGIC + len(text).to_bytes(8, "little") + text)
            for name, kind in COLUMNS.items():
                file.seek(begin + head["columns"][name][0])
                file.write(np.ascontiguousarray(table.columns[name], kind).data)
            file.truncate(begin + at)
        _tidy(place)
    except OSError:
        return None
    return open_kept(place, key)


def open_kept(place: Path | None, key: str) -> KeptTable | None:
    """Map a table that was kept; None where there is none, or none that we wrote for ``key``."""
    if place is None:
        return None
    try:
        with place.open("rb") as file:
            whole = mmap(file.fileno(), 0, access=ACCESS_READ)
        if whole[: len(MAGIC)] != MAGIC:
            return None
        count = int.from_bytes(whole[len(MAGIC) : len(MAGIC) + 8], "little")
        head = json.loads(whole[len(MAGIC) + 8 : len(MAGIC) + 8 + count])
        if head["key"] != key:
            return None
        begin = -(-(len(MAGIC) + 8 + count) // ALIGNED) * ALIGNED
        if len(whole) != begin + head["bytes"]:
            return None
        columns = {}
        for name, kind in COLUMNS.items():
            at, shape = head["columns"][name]
            number = int(np.prod(shape))
            values = np.frombuffer(whole, kind, number, begin + at) if number else np.zeros(0, kind)
            columns[name] = values.reshape(shape)
    except (OSError, ValueError, KeyError, TypeError, MemoryError):
        return None
    found = KeptTable(
        head["root"],
        columns,
        head["folders"],
        {int(at): why for at, why in head["reasons"].items()},
        {below: said and _mark(*said) for below, said in head["looked"].items()},
        head["others"],
        [LeftOut(*each) for each in head["left"]],
        head["state"],
    )
    found.place, found.written, found.whole = place, head["written"], whole
    return found


def _mark(digest: str, newest: int, *dates: int) -> Mark:
    return Mark(bytes.fromhex(digest), newest, dates)


def mapped_again(place: Path, written: str) -> KeptTable:
    """Map a table in another process. ValueError where it was replaced meanwhile."""
    try:
        with place.open("rb") as file:
            begin = file.read(len(MAGIC) + 8)
            head = json.loads(file.read(int.from_bytes(begin[len(MAGIC) :], "little")))
        found = open_kept(place, head["key"])
    except (OSError, ValueError, KeyError):
        found = None
    if found is None or found.written != written:
        raise ValueError(
            f"data.root: the list of its files ({place}) was replaced while this command started;"
            " start it again"
        )
    return found


def remembered(state: str, part: str) -> dict[str, str]:
    """Return the hashes that were kept for a part of a table of this ``state``; {} for none."""
    place = _note(state, part)
    try:
        known = read_json(place) if place else {}
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in known.items()} if known else {}


def remember(state: str, part: str, hashes: dict[str, str]) -> None:
    """Keep hashes of a part of a table, where there is a place for them."""
    place = _note(state, part)
    if place is not None:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, json.dumps(hashes))


def _note(state: str, part: str) -> Path | None:
    folder = cache_folder("index") if state else None
    return None if folder is None else folder / f"{key_of(state=state, part=part)[:32]}.json"


def _tidy(place: Path) -> None:
    """Delete tables of folders that are no more, and notes that belong to none of today's."""
    newest = place.stat().st_mtime
    for other in place.parent.iterdir():
        if other == place:
            continue
        with suppress(OSError, ValueError, KeyError):
            if other.suffix == SUFFIX:
                with other.open("rb") as file:
                    begin = file.read(len(MAGIC) + 8)
                    count = int.from_bytes(begin[len(MAGIC) :], "little")
                    ours = begin.startswith(MAGIC) and count < 2**32
                    root = json.loads(file.read(count))["root"] if ours else ""
                if not os.path.isdir(root):  # or of another version
                    other.unlink()
            elif other.suffix == ".json" and newest - other.stat().st_mtime > 90 * 86400:
                other.unlink()
