"""Know what lies in a shard: the place, label and name of each image, found by one pass over it.

A tar is read as WebDataset writes it: files with the same name up to the first dot of their last
part are one sample; one of them is the image, ``.cls`` is its class, ``.json`` may say ``label``
and ``path``. Parquet is read as ``datasets`` writes it: a column of ``{bytes, path}`` or of bytes,
and a column ``label``. A tar is used where it lies, as an image is a piece of the file. In Parquet
it is not, so its images are written one after the other to a file of the cache folder, once.

The table of a shard is kept (``.npz``, no pickles) under a key of its address, size and state.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.atomic import replacing
from ssl_patches.config.outside import parse_json
from ssl_patches.data.opening import PARSING
from ssl_patches.data.placed import place
from ssl_patches.data.shards.listing import Shard
from ssl_patches.data.suffixes import SUFFIXES as IMAGES

END = 1024  # zero bytes that end a tar
ROWS = 64  # of Parquet that are held in memory at a time
LARGEST_NOTE = 2**20  # bytes of a .cls or .json


@dataclass(frozen=True, slots=True)
class Members:
    """The images of a shard, N of them.

    ``offsets``, ``lengths`` (N,) int64: where each lies in the shard, or in the file that a Parquet
    was unpacked to. ``labels`` (N,) int64, -1 = none. ``places`` (N,) uint8: 0..99, the hash of its
    name, for holding out. ``names``: bytes of all names, ended by 0.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    places: NDArray[np.uint8]
    names: bytes
    classes: list[str]

    def __len__(self) -> int:
        return len(self.offsets)

    def name_list(self) -> list[str]:
        """Return the names of the images."""
        return [os.fsdecode(name) for name in self.names.split(b"\0")[:-1]]


@dataclass(slots=True)
class _Row:
    name: str
    offset: int
    length: int
    label: int = -1


def members_of_tar(path: str, shard: Shard) -> Members:
    """Read the table of a tar. ValueError where it is cut short, or holds no image."""
    rows: list[_Row] = []
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - END))
        if file.read() != b"\0" * END:
            raise cut_short(shard, "it does not end as a tar does")
        file.seek(0)
        for sample in _samples(file, shard):
            if sample is not None:
                rows.append(sample)
    return _table(rows, shard, [])


def _samples(file: IO[bytes], shard: Shard) -> Iterator[_Row | None]:
    """Yield the image of each sample; None for a sample without one."""
    key: tuple[str, str] | None = None
    row: _Row | None = None
    notes: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as opened:
            for member in opened:
                if not member.isfile():
                    continue
                folder, _, last = member.name.rpartition("/")
                stem, _, suffix = last.partition(".")
                if (folder, stem) != key:
                    yield _noted(row, notes)
                    key, row, notes = (folder, stem), None, {}
                suffix = suffix.lower()
                if f".{suffix.rpartition('.')[2]}" in IMAGES:
                    better = row is None or (_is_array(row.name) and not _is_array(suffix))
                    if better:  # an array beside a picture was made from it
                        row = _Row(member.name, member.offset_data, member.size)
                elif suffix in ("cls", "json") and member.size <= LARGEST_NOTE:
                    content = opened.extractfile(member)
                    notes[suffix] = content.read() if content else b""
    except (tarfile.TarError, EOFError) as error:
        raise cut_short(shard, str(error)) from None
    yield _noted(row, notes)


def _is_array(name: str) -> bool:
    return name.lower().endswith(("npy", "npz"))


def _noted(row: _Row | None, notes: dict[str, bytes]) -> _Row | None:
    """Give a sample the label and the name that its notes say."""
    if row is None:
        return None
    with suppress(ValueError, UnicodeDecodeError):
        said = parse_json(notes.get("json", b"{}").decode())
        if isinstance(said, dict):
            label, path = said.get("label"), said.get("path")
            row.label = label if isinstance(label, int) and label >= 0 else row.label
            row.name = path if isinstance(path, str) and path else row.name
    with suppress(ValueError):
        row.label = int(notes["cls"]) if "cls" in notes else row.label
    return row


def members_of_parquet(path: str, shard: Shard, unpacked: Path) -> Members:
    """Write the images of a Parquet one after the other to ``unpacked``, and return their table.

    ValueError where it is cut short or has no column of images; pyarrow is needed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[_Row] = []
    try:
        with pq.ParquetFile(path) as opened, replacing(unpacked) as aside, aside.open("wb") as file:
            image, label, classes = _columns(opened.schema_arrow, shard)
            columns = [name for name in (image, label) if name]
            at = 0
            for batch in opened.iter_batches(batch_size=ROWS, columns=columns):
                cells = batch.column(image)
                paths: Any = [None] * len(cells)
                if pa.types.is_struct(cells.type):
                    if "path" in {field.name for field in cells.type}:
                        paths = cells.field("path").to_pylist()
                    cells = cells.field("bytes")
                labels = batch.column(label).to_pylist() if label else [None] * len(cells)
                for cell, name, said in zip(cells, paths, labels, strict=True):
                    content = cell.as_py() or b""
                    known = said if isinstance(said, int) and said >= 0 else -1
                    name = f"{shard.name}/{len(rows)}" + (f" {name}" if name else "")
                    rows.append(_Row(name, at, len(content), known))
                    file.write(content)
                    at += len(content)
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        raise cut_short(shard, str(error)) from None
    return _table(rows, shard, classes)


def _columns(schema: Any, shard: Shard) -> tuple[str, str | None, list[str]]:
    """Return the column of images, that of labels, and the names of classes."""
    import pyarrow as pa

    def holds_images(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return "bytes" in {field.name for field in kind}
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    images = [field.name for field in schema if holds_images(field.type)]
    if not images:
        raise ValueError(
            f"data.path={shard.url}: has no column of images (bytes, or bytes and path), but"
            f" {', '.join(schema.names)}; write it with datasets, or with ssl-patches pack"
        )
    label = next((name for name in ("label", "labels", "cls") if name in schema.names), None)
    classes: list[str] = []
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        said = json.loads((schema.metadata or {})[b"huggingface"])
        classes = list(said["info"]["features"][label]["names"])
    return images[0], label, classes


def cut_short(shard: Shard, reason: str) -> ValueError:
    """Say that a shard is damaged."""
    reason = " ".join(reason.split())[:160]
    return ValueError(
        f"data.path={shard.url}: the shard is damaged or cut short ({reason}); fetch or write it"
        " again, or leave it out of data.path"
    )


def _table(rows: list[_Row], shard: Shard, classes: list[str]) -> Members:
    if not rows:
        raise ValueError(
            f"data.path={shard.url}: holds no image ({' '.join(IMAGES)}); leave it out of data.path"
        )
    return Members(
        offsets=np.array([row.offset for row in rows], np.int64),
        lengths=np.array([row.length for row in rows], np.int64),
        labels=np.array([row.label for row in rows], np.int64),
        places=np.array([place(row.name) for row in rows], np.uint8),
        names=b"".join(os.fsencode(row.name.replace("\0", "")) + b"\0" for row in rows),
        classes=classes,
    )


def keep_members(members: Members, path: Path) -> None:
    """Keep a table. OSError where it cannot be written."""
    with replacing(path) as aside, aside.open("wb") as file:
        np.savez(
            file,
            offsets=members.offsets,
            lengths=members.lengths,
            labels=members.labels,
            places=members.places,
            names=np.frombuffer(members.names, np.uint8),
            classes=np.frombuffer(json.dumps(members.classes).encode(), np.uint8),
        )


def read_members(path: Path) -> Members | None:
    """Return a table that was kept; None where there is none, or none that we wrote."""
    try:
        with PARSING, np.load(path, allow_pickle=False) as kept:
            found = Members(
                **{key: kept[key] for key in ("offsets", "lengths", "labels", "places")},
                names=kept["names"].tobytes(),
                classes=json.loads(kept["classes"].tobytes()),
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    sizes = {len(each) for each in (found.offsets, found.lengths, found.labels, found.places)}
    return found if sizes == {found.names.count(b"\0")} else None
