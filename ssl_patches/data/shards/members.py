"""Know what lies in a shard: the place, label and name of each image, found by one pass over it.

How the samples of a tar and of Parquet are read stands in ``samples.py``. A tar is used where it
lies, as an image is a piece of the file. In Parquet it is not, so its images are written one after
the other to a file of the cache folder, once.

The table of a shard is kept (``.npz``, no pickles) under a key of its address, size and state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from tarfile import TarError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.atomic import replacing
from ssl_patches.data.formats import library_missing_for, suffix_by, unreadable_suffixes
from ssl_patches.data.left_out import Aside, LeftOut
from ssl_patches.data.opening import PARSING
from ssl_patches.data.placed import place
from ssl_patches.data.shards.listing import Shard
from ssl_patches.data.shards.samples import ShardImage, columns_of, samples_of_batch, samples_of_tar
from ssl_patches.data.suffixes import SUFFIXES as IMAGES

END = 1024  # zero bytes that end a tar
ROWS = 64  # of Parquet that are held in memory at a time
MIXED = "the label is text, and those of others are numbers"


@dataclass(frozen=True, slots=True)
class Members:
    """The images of a shard, N of them.

    ``offsets``, ``lengths`` (N,) int64: where each lies in the shard, or in the file that a Parquet
    was unpacked to. ``labels`` (N,) int64, -1 = none. ``places`` (N,) uint8: 0..99, the hash of its
    name, for holding out. ``names``: bytes of all names, ended by 0. ``classes``: of the labels;
    empty: they are numbers. ``left``: what is not used, or has no label. ``contradict``: the names
    of images with two labels, which have none here. ``damaged``: of those that are not what was
    packed, and are not among the N (``rewritten.py``); it is not kept.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    places: NDArray[np.uint8]
    names: bytes
    classes: list[str]
    left: list[LeftOut] = field(default_factory=list)
    contradict: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)

    def name_list(self) -> list[str]:
        """Return the names of the images."""
        return [os.fsdecode(name) for name in self.names.split(b"\0")[:-1]]

    def take(self, rows: NDArray[np.int64]) -> Members:
        """Return the table of some of the images; ``rows`` are in order."""
        names = self.name_list()
        gone = {*names} - {names[at] for at in rows.tolist()}
        return replace(
            self,
            offsets=self.offsets[rows],
            lengths=self.lengths[rows],
            labels=self.labels[rows],
            places=self.places[rows],
            names=b"".join(os.fsencode(names[at]) + b"\0" for at in rows.tolist()),
            contradict=[name for name in self.contradict if name not in gone],
        )


def members_of_tar(path: str, shard: Shard) -> Members:
    """Read the table of a tar. ValueError where it is cut short, or holds no image."""
    left, unlabelled = Aside(), Aside()
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - END))
        if file.read() != b"\0" * END:
            raise cut_short(shard, "it does not end as a tar does")
        file.seek(0)
        try:
            samples = list(samples_of_tar(file, left, unlabelled))
        except (TarError, EOFError) as error:
            raise cut_short(shard, str(error)) from None
    return _table(samples, shard, [], left, unlabelled)


def members_of_parquet(path: str, shard: Shard, unpacked: Path) -> Members:
    """Write the images of a Parquet one after the other to ``unpacked``, and return their table.

    ValueError where it is cut short or has no column of images; pyarrow is needed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    samples: list[ShardImage] = []
    left, unlabelled = Aside(), Aside()
    try:
        with pq.ParquetFile(path) as opened, replacing(unpacked) as aside, aside.open("wb") as file:
            image, label, classes = columns_of(opened.schema_arrow, left)
            if image is None:
                raise ValueError(
                    f"data.path={shard.url}: has no column of images (bytes, or bytes and path),"
                    f" but {', '.join(opened.schema_arrow.names)}; write it with datasets, or with"
                    " ssl-patches pack"
                )
            at = 0
            columns = [name for name in (image, label) if name]
            for batch in opened.iter_batches(batch_size=ROWS, columns=columns):
                for sample, content in samples_of_batch(batch, image, label, unlabelled):
                    name = f" {sample.name}" if sample.name else suffix_by(content)
                    sample.name, sample.offset = f"{shard.name}/{len(samples)}{name}", at
                    samples.append(sample)
                    file.write(content)
                    at += len(content)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        raise cut_short(shard, str(error)) from None
    return _table(samples, shard, classes, left, unlabelled)


def those_with_library(members: Members) -> Members:
    """Leave out images of formats whose library is not installed, and count them with what to
    install.

    A table that is kept has them all: they count as soon as the library is there.
    """
    without = unreadable_suffixes()
    lower = members.names.lower()
    if not any(f"{suffix}\0".encode() in lower for suffix in without):
        return members
    left, names = Aside(), members.name_list()
    needed = [library_missing_for(name, without) for name in names]
    for name, why in zip(names, needed, strict=True):
        if why:
            left.add(name, why)
    rows = np.array([why is None for why in needed], bool).nonzero()[0]
    return replace(members.take(rows), left=[*members.left, *left.told()])


def cut_short(shard: Shard, reason: str) -> ValueError:
    """Say that a shard is damaged."""
    reason = " ".join(reason.split())[:160]
    return ValueError(
        f"data.path={shard.url}: the shard is damaged or cut short ({reason}); fetch or write it"
        " again, or leave it out of data.path"
    )


def _table(
    samples: Sequence[ShardImage], shard: Shard, classes: list[str], left: Aside, unlabelled: Aside
) -> Members:
    if not samples:
        raise ValueError(
            f"data.path={shard.url}: holds no image ({' '.join(IMAGES)}); leave it out of data.path"
        )
    texts = {each.label for each in samples if isinstance(each.label, str)}
    numbers = any(isinstance(each.label, int) for each in samples)
    if texts and not numbers:
        classes = sorted(texts)
    known = {name: at for at, name in enumerate(classes)}
    labels = np.full(len(samples), -1, np.int64)
    for at, sample in enumerate(samples):
        if isinstance(sample.label, int):
            labels[at] = sample.label
        elif sample.label in known:
            labels[at] = known[sample.label]
        elif sample.label is not None:
            unlabelled.add(sample.name, MIXED)
    wrong = [each.name for each in samples if each.contradicts]
    return Members(
        offsets=np.array([each.offset for each in samples], np.int64),
        lengths=np.array([each.length for each in samples], np.int64),
        labels=labels,
        places=np.array([place(each.name) for each in samples], np.uint8),
        names=b"".join(os.fsencode(each.name.replace("\0", "")) + b"\0" for each in samples),
        classes=classes,
        left=[
            *left.told(),
            *(replace(each, fate="unlabelled") for each in unlabelled.told()),
        ],
        contradict=wrong,
    )


def keep_members(members: Members, path: Path, *, sums: NDArray[np.uint64] | None = None) -> None:
    """Keep a table. ``sums`` (N,): of the bytes of each image. OSError where it cannot be
    written."""
    more: dict[str, Any] = {} if sums is None else {"sums": sums}
    with replacing(path) as aside, aside.open("wb") as file:
        np.savez(
            file,
            offsets=members.offsets,
            lengths=members.lengths,
            labels=members.labels,
            places=members.places,
            names=np.frombuffer(members.names, np.uint8),
            classes=_as_bytes(members.classes),
            left=_as_bytes([astuple(each) for each in members.left]),
            contradict=_as_bytes(members.contradict),
            **more,
        )


def read_members(path: Path) -> Members | None:
    """Return a table that was kept; None where there is none, or none that we wrote."""
    try:
        with PARSING, np.load(path, allow_pickle=False) as kept:
            found = Members(
                **{key: kept[key] for key in ("offsets", "lengths", "labels", "places")},
                names=kept["names"].tobytes(),
                classes=json.loads(kept["classes"].tobytes()),
                # not in tables that were written before
                left=[LeftOut(*each) for each in _from_bytes(kept, "left")],
                contradict=_from_bytes(kept, "contradict"),
            )
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile):
        return None
    sizes = {len(each) for each in (found.offsets, found.lengths, found.labels, found.places)}
    return found if sizes == {found.names.count(b"\0")} else None


def read_sums(path: Path) -> NDArray[np.uint64] | None:
    """Return the sums that are kept with a table; None where there are none."""
    try:
        with PARSING, np.load(path, allow_pickle=False) as kept:
            found: NDArray[np.uint64] = kept["sums"]
            return found
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _as_bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _from_bytes(kept: Any, name: str) -> list[Any]:
    return list(json.loads(kept[name].tobytes())) if name in kept else []
