"""Have shards at hand: fetched once to a local folder, whole or not at all, within its bound.

A remote shard is fetched in blocks; a read that fails, is cut short or does not answer is tried
again with growing pauses, and then named (``patience.py``). Its size,
and its sha256 where ``shards.json`` says one, must be right before it gets its name. One thread of
one process fetches while others that need the same shard wait, so no object is read twice on a
machine. The lock is the system's (``flock``), which a killed process gives back:
``config/locks.py`` takes all threads of a process, and what it forks, for one owner. Above
``largest`` bytes the shards that were used longest ago are deleted.

The trap: a file system of fsspec holds threads and sockets, which a forked worker cannot use. Each
process makes its own, at the first shard that it fetches.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssl_patches.config.atomic import replacing, write_text
from ssl_patches.config.keys import key_of
from ssl_patches.config.outside import read_text
from ssl_patches.data.shards import members as tables
from ssl_patches.data.shards.listing import LISTED, TABLE, Shard, file_system
from ssl_patches.data.shards.members import Members
from ssl_patches.data.shards.patience import Patience
from ssl_patches.data.shards.rewritten import sound_part

BLOCK = 16 * 2**20  # bytes of a read
RULES = 3  # of which member of a sample is its image, and of labels; raise it when they change


@dataclass(frozen=True)
class Store:
    """Where shards are kept, and how they are fetched.

    ``folder``: of what is fetched and unpacked. ``largest``: bytes of it. ``options``: of fsspec.
    ``patience``: with reads that fail.
    """

    folder: Path
    largest: int
    options: Mapping[str, Any]
    patience: Patience

    def members(self, shard: Shard) -> Members:
        """Return the table of a shard, which is fetched where it is not known yet.

        Images of formats whose library is not installed are left out.
        ValueError for a shard that is damaged, is not what its list says, or cannot be fetched.
        """
        if shard.changed and shard.sha256 and not self._is_listed(shard, shard.sha256):
            return tables.those_with_library(_still_sound(shard))
        place = self._place(shard, ".npz")
        known = tables.read_members(place)
        if known is None and shard.sha256:
            known = self._beside(shard, place)
        if known is None:
            self.content(shard)
            known = tables.read_members(place)
        if known is None:
            known = self._unpack(shard, self._fetched(shard))
        return tables.those_with_library(known)

    def content(self, shard: Shard) -> Path:
        """Return the file in which the images of a shard lie, made where it is not there.

        ValueError as ``members``.
        """
        if shard.in_place:
            if tables.read_members(self._place(shard, ".npz")) is None:
                self._unpack(shard, Path(shard.url))
            return Path(shard.url)
        place = self._images(shard)
        if not place.exists():
            with _alone(place):
                if not place.exists():
                    self._unpack(shard, self._fetched(shard))
        os.utime(place)  # used now: the last to be deleted
        return place

    def _is_listed(self, shard: Shard, listed: str) -> bool:
        """Tell whether a shard on this disk that was changed after its list holds what that says.

        It is hashed once; the result is kept under the time of its change.
        """
        key = key_of(url=shard.url, bytes=shard.bytes, changed=shard.changed)
        place = self.folder / f"{key[:32]}.sha256"
        try:
            found = read_text(place)
        except (OSError, ValueError):
            with open(shard.url, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            with suppress(OSError):  # it is hashed again then
                self.folder.mkdir(parents=True, exist_ok=True)
                write_text(place, found)
        return found == listed

    def _beside(self, shard: Shard, place: Path) -> Members | None:
        """Return the table that lies beside a shard of ours, so that the shard can wait."""
        path = Path(f"{shard.url}{TABLE}")
        if shard.remote:
            system, name = file_system(f"{shard.url}{TABLE}", self.options)
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                content = self.patience.tried(shard.url, lambda: bytes(system.cat_file(name)))
            except (ValueError, FileNotFoundError):  # it is made from the shard
                return None
            path = place
            with replacing(place) as aside:
                aside.write_bytes(content)
        found = tables.read_members(path)
        if found is None or (
            len(found) and int((found.offsets + found.lengths).max()) > shard.bytes
        ):
            return None
        return found

    def _images(self, shard: Shard) -> Path:
        return self._place(shard, ".images" if shard.name.endswith(".parquet") else ".tar")

    def _place(self, shard: Shard, suffix: str) -> Path:
        key = key_of(rules=RULES, url=shard.url, bytes=shard.bytes, state=shard.state)
        return self.folder / f"{key[:32]}{suffix}"

    def _unpack(self, shard: Shard, path: Path) -> Members:
        self.folder.mkdir(parents=True, exist_ok=True)
        if shard.name.endswith(".parquet"):
            found = tables.members_of_parquet(str(path), shard, self._images(shard))
            if shard.remote:
                path.unlink(missing_ok=True)
        else:
            found = tables.members_of_tar(str(path), shard)
        tables.keep_members(found, self._place(shard, ".npz"))
        self._make_room()
        return found

    def _fetched(self, shard: Shard) -> Path:
        """Return the shard as it is, on this disk."""
        if not shard.remote:
            return Path(shard.url)
        place = self._place(shard, "." + shard.name.rpartition(".")[2])
        if not place.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._fetch(shard, place)
        return place

    def _fetch(self, shard: Shard, place: Path) -> None:
        system, path = file_system(shard.url, self.options)
        digest = hashlib.sha256()
        with replacing(place) as aside, aside.open("wb") as file:
            for begin in range(0, shard.bytes, BLOCK):
                end = min(begin + BLOCK, shard.bytes)
                block = self.patience.tried(shard.url, partial(_block, system, path, begin, end))
                digest.update(block)
                file.write(block)
            if shard.sha256 and digest.hexdigest() != shard.sha256:
                raise ValueError(
                    f"data.path={shard.url}: its content is not what shards.json says (sha256);"
                    " write it again with ssl-patches pack"
                )

    def _make_room(self) -> None:
        """Delete what was used longest ago, until the rest is within the bound."""
        kept = [path for path in self.folder.iterdir() if path.suffix in (".tar", ".images")]
        known = []
        for path in kept:
            try:
                known.append((path.stat().st_mtime, path.stat().st_size, path))
            except FileNotFoundError:  # another process did so
                continue
        total = sum(size for _, size, _ in known)
        for _, size, path in sorted(known)[:-1]:
            if total <= self.largest:
                break
            path.unlink(missing_ok=True)
            total -= size


def _still_sound(shard: Shard) -> Members:
    """Return the table of those images that are what the list says; ValueError where more than
    images changed."""
    found = None if shard.name.endswith(".parquet") else sound_part(shard)
    if found is None:
        raise ValueError(
            f"data.path={shard.url}: was changed after {LISTED}, which says another content"
            f" (sha256); write both with ssl-patches pack, or remove {LISTED} to read the"
            " shards as they are"
        )
    return found


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until nobody else makes ``place``; where the system has no such lock, go on."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # two may fetch the same shard there; each writes it whole
        yield
        return
    with place.with_name(f".{place.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile has it too


def _block(system: Any, path: str, begin: int, end: int) -> bytes:
    """Read bytes begin..end-1 of an object; OSError for fewer."""
    block = bytes(system.cat_file(path, start=begin, end=end))
    if len(block) != end - begin:
        raise OSError(f"{len(block)} of {end - begin} bytes came")
    return block
