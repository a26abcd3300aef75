"""Read images in shards: ``data=shards data.path=DIR``, a pattern, or ``s3://BUCKET/DIR``.

Shards are listed (``shards/listing.py``), what lies in each is known from a table
(``shards/members.py``), and a remote one is fetched whole to this disk before its first image is
read (``shards/store.py``). An image is then a piece of a local file: any item can be read by
itself, so batches are a function of (seed, number) and a run resumes exactly, as with a folder.
What keeps the reading sequential is the order of the stream (``order.BlockOrder``): an epoch goes
through the shards in an order of its own, ``mixed`` at a time.

The trap: shards sorted by class. ``mixed`` shards are shuffled together, no more: pack images in
random order, as ``ssl-patches pack`` does.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ssl_patches.config.bounds import check_bounds
from ssl_patches.config.keys import content_of, key_of
from ssl_patches.config.machine import folder_for
from ssl_patches.data.arrays import check_value_range
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import DECODERS, decode
from ssl_patches.data.headers import extent_of_bytes
from ssl_patches.data.shards.division import (
    kept_of,
    named_labels,
    on_side,
    said_of_labels,
    sides_of_shards,
)
from ssl_patches.data.shards.listing import Shard, list_shards, state_on_disk
from ssl_patches.data.shards.members import Members
from ssl_patches.data.shards.patience import Patience
from ssl_patches.data.shards.rewritten import REASON
from ssl_patches.data.shards.store import Store
from ssl_patches.data.source import Request
from ssl_patches.data.stored_source import StoredSource

PROBED = 64  # images of the first shard whose size decides the load size
OPEN = 64  # shards that a process keeps open
GB = 10**9


class ShardSource(StoredSource):
    """The images of one split in shards; ValueError for what cannot be listed or read.

    ``path``: a folder, a file, a pattern with ``*`` or ``{000..012}``, or an address of fsspec.
    ``mixed``: how many shards are shuffled together. Why: eight of 100 MB hold some thousand
    images, and what is fetched ahead stays below 2 GB. ``shard_dir``: where remote shards and
    Parquet are kept on this disk; None: the user's cache folder. ``shard_gb``: the most that they
    take there; at least twice ``mixed`` shards. Why: it holds most sets whole, so that each shard
    is fetched once. ``timeout``: seconds until a read of a remote shard counts as failed. Why: a
    slow store answers within it, and a silent one is noticed in minutes. ``retries``: how often it
    is tried again. Why: 5 with doubling pauses outlast 15 seconds. ``storage_options``: of fsspec's
    file system, such as ``{anon: true}``; None: its own defaults. The rest as for ``FolderSource``.
    Labels are classes, numbers or text: ``.cls``, ``label`` of ``.json``, the column ``label``.
    ``max_conflicts``: how many images may have two labels that differ; they count as unlabelled.
    Why: such a shard has a mistake in it.
    """

    labels: Tensor

    def __init__(
        self,
        *,
        path: str,
        split: Literal["train", "val"],
        image_size: int,
        mixed: int = 8,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        load_size: int | None = None,
        shard_dir: str | None = None,
        shard_gb: float = 100.0,
        timeout: float = 60.0,
        retries: int = 5,
        storage_options: Mapping[str, Any] | None = None,
        max_corrupt: float = 0.01,
        max_conflicts: int = 0,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        _check(mixed, shard_gb, timeout, retries)
        options, where = dict(storage_options or {}), f"data.path={path}"
        patience = Patience(timeout, retries)
        listing = list_shards(path, options, patience)
        folder = folder_for(shard_dir, "shards", "data.shard_dir")
        self.store = Store(folder, int(shard_gb * GB), options, patience)
        sides = sides_of_shards(listing.shards, split)
        shards, self.split_rule = sides.shards, sides.rule
        self._refuse_small(shards, mixed, shard_gb)
        tables = self._tables_of(shards)
        kept = [kept_of(table, sides.part) for table in tables]
        named, classes = named_labels(
            tables,
            listing.classes,
            lambda: self._tables_of([each for each in listing.shards if each not in shards]),
            where,
        )
        self.remarks = [*map(str, (*listing.left, *sides.left))]
        self.remarks += said_of_labels(tables, classes, max_conflicts, where)
        if not any(len(each) for each in kept):
            raise ValueError(
                f"{where}: must hold images for {split}, but has {sum(map(len, tables))} images"
                f" ({'; '.join([self.split_rule, *self.remarks])}); give more shards"
            )
        self.shards, self.mixed = shards, mixed
        counts = [len(each) for each in kept]
        self.blocks = counts
        self._before = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._offsets, self._lengths, labels = (
            np.concatenate([values[rows] for values, rows in zip(found, kept, strict=True)])
            for found in (
                [table.offsets for table in tables],
                [table.lengths for table in tables],
                named,
            )
        )
        self._damaged = [
            name for table in tables for name in table.damaged if on_side(name, sides.part)
        ]
        self._rows, self._names_of = kept, _Tables(self.store, shards)
        self.channels, self.value_range = channels, check_value_range(value_range)
        self._open: OrderedDict[int, int] = OrderedDict()
        self._process = os.getpid()
        self._ahead: threading.Thread | None = None
        self.known_as = _Names(self)
        super().__init__(
            where=where,
            names=self.known_as,
            labels=torch.from_numpy(labels),
            classes=classes,
            split_rule=self.split_rule,
            load_size=image_size,
            corrupt=[(name, REASON) for name in self._damaged],
            identity=[
                *(f"{shard.name}\0{shard.bytes}\0{sides.part}\n" for shard in shards),
                *(f"without {name}\n" for name in self._damaged),
            ],
            max_corrupt=max_corrupt,
        )
        self.load_size = request.side(self._extents() or [(image_size, image_size)])

    def read(self, at: int) -> tuple[Tensor, int]:
        """Return image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``.

        ValueError where its shard cannot be had.
        """
        content = self._piece(at)
        try:
            image = decode(
                "",
                channels=self.channels,
                size=self.load_size,
                value_range=self.value_range,
                data=content,
            )
        except UnreadableImage as error:  # names are looked up for the few that need one
            raise UnreadableImage(self.names[at], error.reason) from error
        return image, int(self.labels[at])

    def fingerprint(self) -> str:
        """Return a hash of the names, sizes and contents of the shards, and of the sizes of images.

        Contents are those that ``shards.json`` says, or parts of the files. Shards that are remote
        and have no such list are known by names and sizes.
        """
        digests: list[str | None] = [shard.sha256 for shard in self.shards]
        if not all(digests):
            local = [shard.url for shard in self.shards if not shard.remote]
            digests = [content_of(local)] if len(local) == len(self.shards) else []
        former = self.former_fingerprint()
        return key_of(former=former, content=digests) if digests else former

    def former_fingerprint(self) -> str:
        """Return a hash of names and sizes alone, as runs of before hold it."""
        return key_of(shards=self._names, lengths=key_of(of=self._lengths.tolist()))

    def kept_key(self) -> str:
        """Return a hash of the shards as they are listed now, how they are read, and labels."""
        return key_of(
            shards=[[shard.url, shard.bytes, shard.state] for shard in self.shards],
            rows=self.blocks,
            read_as=[self.channels, self.value_range],
            decoders=DECODERS,
            labels=self.label_key(),
            **({"damaged": self._damaged} if self._damaged else {}),
        )

    def label_key(self) -> str:
        """Return a hash of labels and classes."""
        return key_of(labels=self.labels.tolist(), classes=list(self.classes))

    def expect(self, blocks: Sequence[int]) -> None:
        """Fetch shards that come next, in a thread; what cannot be had is told when it is read."""
        wanted = [self.shards[at] for at in blocks if self.shards[at].remote]
        if not wanted or (self._ahead is not None and self._ahead.is_alive()):
            return
        self._ahead = threading.Thread(target=_fetch, args=(self.store, wanted), daemon=True)
        self._ahead.start()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files and threads behind: another process has its own."""
        return {**self.__dict__, "_open": OrderedDict(), "_ahead": None, "_process": 0}

    def _piece(self, at: int) -> bytes:
        shard = int(np.searchsorted(self._before, at, "right")) - 1
        count, offset = int(self._lengths[at]), int(self._offsets[at])
        file, listed = self._file(shard), self.shards[shard]
        content = os.pread(file, count, offset)
        if listed.in_place and state_on_disk(os.fstat(file)) != listed.state:
            raise ValueError(
                f"data.path={listed.url}: was written while it is read, so what lies where is not"
                " known any more; give the same command again, it reads the shard anew"
            )
        if len(content) != count:
            raise UnreadableImage(self.names[at], f"{len(content)} of {count} bytes are there")
        return content

    def _file(self, shard: int) -> int:
        """Return the open file of a shard, in this process."""
        if self._process != os.getpid():
            self._process, self._open = os.getpid(), OrderedDict()
        if shard not in self._open:
            while len(self._open) >= OPEN:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard] = self._opened(self.shards[shard])
        self._open.move_to_end(shard)
        return self._open[shard]

    def _opened(self, shard: Shard) -> int:
        for _ in range(3):  # another process may delete it between the two, to make room
            place = self.store.content(shard)
            try:
                return os.open(place, os.O_RDONLY)
            except FileNotFoundError:
                continue
        raise ValueError(
            f"{self.where}: {place} goes as soon as it is fetched; set data.shard_gb higher"
        )

    def _tables_of(self, shards: Sequence[Shard]) -> list[Members]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(self.store.members, shards))

    def _extents(self) -> list[tuple[int, int]]:
        first = range(int(self._before[self._before > 0][0]))  # those of one shard
        found = []
        for at in first[:: max(1, len(first) // PROBED)]:
            extent = extent_of_bytes(self._piece(at))
            found += [extent] if extent else []
        return found

    def _refuse_small(self, shards: Sequence[Shard], mixed: int, shard_gb: float) -> None:
        sizes = sorted(s.bytes for s in shards if s.remote or s.name.endswith(".parquet"))
        least = sum(sizes[-2 * mixed :])
        if least > self.store.largest:
            raise ValueError(
                f"data.shard_gb={shard_gb}: {2 * mixed} shards (twice data.mixed) take"
                f" {least / GB:.1f} GB; set data.shard_gb={least / GB + 1:.0f}, or a smaller"
                " data.mixed"
            )


class _Tables:
    """The tables of shards, read again where names are asked for, the last ones kept."""

    def __init__(self, store: Store, shards: Sequence[Shard]) -> None:
        self.store, self.shards = store, shards
        self._known: OrderedDict[int, list[str]] = OrderedDict()

    def names(self, shard: int) -> list[str]:
        if shard not in self._known:
            while len(self._known) >= 4:
                self._known.popitem(last=False)
            self._known[shard] = self.store.members(self.shards[shard]).name_list()
        return self._known[shard]


class _Names(Sequence[str]):
    """What images are called: by the shard, or where it lay when it was packed."""

    def __init__(self, source: ShardSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return int(self.source._before[-1])

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        shard = int(np.searchsorted(self.source._before, index, "right")) - 1
        row = self.source._rows[shard][index - self.source._before[shard]]
        return self.source._names_of.names(shard)[int(row)]


def _fetch(store: Store, shards: Sequence[Shard]) -> None:
    for shard in shards:
        try:
            store.content(shard)
        except (ValueError, OSError):  # told by whoever reads it
            return


def _check(mixed: int, shard_gb: float, timeout: float, retries: int) -> None:
    """Raise ValueError for a setting out of its range."""
    check_bounds(
        "data",
        [
            ("mixed", mixed, 1, 4096, 8),
            ("shard_gb", shard_gb, 0.001, 1e9, 100),
            ("timeout", timeout, 0.01, 86400, 60),
            ("retries", retries, 0, 100, 5),
        ],
    )
