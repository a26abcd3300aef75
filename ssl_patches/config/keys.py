"""Build the keys of what is kept on disk, so that nothing kept can answer for other data.

There are two questions, and files answer them differently:

* *Is it still what it was, on this machine?* ``state_of``: path, size and time of change of every
  file. For what can be made again: statistics, floors, caches, parts of a table. A file that is
  written anew is another one, even with the same content; nothing worse follows than some work.
* *Are these the same images, wherever they lie?* ``content_of``: the bytes. For what must outlive a
  copy to another machine: resuming, finished runs of a study, what a card states. At most ``FILES``
  files and ``BYTES`` bytes are read, the same ones each time.

The trap: what decides a value and is not in its key. ``key_of`` takes everything by name, and
whoever adds a setting that changes the value adds it there.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

FILES, BYTES = 4096, 256 * 2**20
"""How much ``content_of`` reads: a second from a local disk."""
LOOKED_AT, SKEW = 100_000, 2.0
"""Of how many files ``changed_after`` looks at each (a second on a local disk), and seconds."""
WHOLE, BLOCK, BLOCKS = 2**20, 2**16, 16
"""Files up to ``WHOLE`` bytes are read whole, of larger ones ``BLOCKS`` blocks evenly spread."""


def key_of(**deciding: Any) -> str:
    """Return 64 hexadecimal digits for everything that decides a value, given by name.

    Lists, mappings, numbers and text; anything else counts as what it prints itself as.
    """
    return hashlib.sha256(
        json.dumps(deciding, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
    ).hexdigest()


def files_state(paths: Iterable[str]) -> str:
    """Return a hash of path, size and time of change of every file, in the order given.

    A file that cannot be looked at counts as missing.
    """
    content = hashlib.sha256()
    for path in paths:
        try:
            found = os.stat(path)
            said = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            said = "missing"
        content.update(os.fsencode(os.path.abspath(path)) + f"\0{said}\n".encode())
    return content.hexdigest()


def changed_after(paths: Sequence[str], moment: float) -> list[str]:
    """Return the files that were written, renamed or given other rights after ``moment``.

    ``moment``: seconds as of ``time.time()``. It is compared with the time that no program can set
    back, with ``SKEW`` for a server's clock. Of more than ``LOOKED_AT`` files ``FILES`` are looked
    at, always the same ones. A file that cannot be looked at counts as changed.
    """
    count = len(paths)
    chosen = range(count) if count <= LOOKED_AT else sorted(_spread(count))
    found = []
    for number in chosen:
        try:
            changed = os.stat(paths[number]).st_ctime > moment + SKEW
        except OSError:
            changed = True
        found += [paths[number]] if changed else []
    return found


def content_of(paths: Sequence[str]) -> str:
    """Return a hash of what the files hold, in the order given; where they lie does not matter.

    Of many files some are read, chosen by their number alone. A file that cannot be read counts as
    empty.
    """
    return content_read(paths)[0]


def content_read(paths: Sequence[str]) -> tuple[str, bool]:
    """Return ``content_of``, and whether all files could be read: only then may it be kept."""
    content, left, whole = hashlib.sha256(), BYTES, True
    for number in _spread(len(paths)):
        if left <= 0:
            break
        piece = _read(paths[number])
        whole = whole and piece is not None
        piece = piece or b""
        left -= len(piece)
        content.update(f"{number} {len(piece)}\n".encode() + piece)
    return content.hexdigest(), whole


def _spread(count: int) -> list[int]:
    """Return numbers 0..count-1, all or ``FILES`` of them, in an order that does not favour the
    first ones."""
    # a limit below which there are about twice as many as are wanted
    found = _digests(count, min(2**64 - 1, 2**65 * FILES // max(count, 1)))
    if len(found) < min(count, FILES):
        found = _digests(count, 2**64 - 1)
    return [at for _, at in heapq.nsmallest(FILES, found)]


def _digests(count: int, most: int) -> list[tuple[bytes, int]]:
    """Return the digests of numbers 0..count-1 that are at most ``most``, each with its number."""
    limit, start, found = most.to_bytes(8, "big"), hashlib.blake2b(digest_size=8), []
    for at in range(count):
        content = start.copy()
        content.update(b"%d" % at)
        digest = content.digest()
        if digest <= limit:
            found.append((digest, at))
    return found


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= WHOLE:
                return file.read()
            pieces = []
            for block in range(BLOCKS):
                file.seek((size - BLOCK) * block // (BLOCKS - 1))
                pieces.append(file.read(BLOCK))
            return b"".join(pieces)
    except OSError:
        return None
