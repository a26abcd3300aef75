"""Pack a folder of images into tar shards: ``ssl-patches pack data.root=DIR output=SHARDS``.

Files are put in as they are, in the order of the hash of their names, so that shards mix classes:
``train-00000.tar``, ``val-00000.tar``, ... of about ``shard_mb``. A sample is an image, ``.json``
with its ``path`` below the folder, and ``.cls`` where it has a label: what WebDataset reads.
Beside them lie the table of each shard, ``classes.txt``, and ``shards.json`` with sizes and sha256.

A shard gets its name when it is written and read back with the same bytes. Whoever is killed begins
again where it was: shards that are there are checked and kept. The list is written last.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ssl_patches.config import locks
from ssl_patches.config.atomic import replacing, write_text
from ssl_patches.config.messages import Say
from ssl_patches.config.outside import check_regular, read_json
from ssl_patches.data.layout import select
from ssl_patches.data.left_out import LeftOut, said
from ssl_patches.data.shards import members as tables
from ssl_patches.data.shards.listing import CLASSES, LISTED, TABLE, Shard, listed_text
from ssl_patches.data.shards.rewritten import sums_of
from ssl_patches.data.walk import find_images

BEGUN = ".pack.json"  # what was asked for, until the list is written


@dataclass(frozen=True, slots=True)
class _File:
    """An image file to be packed."""

    path: str
    bytes: int
    label: int


def pack_command(cfg: Mapping[str, Any], *, say: Say) -> dict[str, Any]:
    """Write the shards of ``data.root`` to ``output``, and return what was written.

    ValueError for a bad request, before anything is written, and for files that change meanwhile.
    """
    root, output = os.path.expanduser(cfg["data"]["root"]), Path(cfg["output"]).expanduser()
    if not os.path.isdir(root):
        raise ValueError(f"data.root={root}: must be a folder of images; set data.root=DIR")
    if not 1 <= cfg["shard_mb"] <= 100_000:
        raise ValueError(
            f"shard_mb={cfg['shard_mb']}: must be 1 to 100000 megabytes; set shard_mb=100"
        )
    found = find_images(root)
    asked = {"root": os.path.abspath(root), "shard_mb": cfg["shard_mb"], "files": _digest(found)}
    planned, classes, left = _planned(found.images, cfg)
    _refuse_other(output, asked)
    for line in said([*found.left, *left]):
        say(f"images: {line}")
    output.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(output):
        write_text(output / BEGUN, json.dumps(asked))
        rows = []
        with tqdm(
            total=sum(map(len, planned.values())),
            desc="packing",
            unit="image",
            disable=not sys.stderr.isatty(),
        ) as bar:
            for name, files in planned.items():
                rows.append(_shard(root, output / name, files))
                bar.update(len(files))
        if classes:
            lines = [f"{at} {each}\n" for at, each in enumerate(classes)]
            write_text(output / CLASSES, "".join(lines))
        write_text(output / LISTED, listed_text(rows, asked=asked))
        (output / BEGUN).unlink()
    images = sum(row["images"] for row in rows)
    say(f"{output}: {images:,} images in {len(rows):,} shards, read back and equal")
    say(f"read it:   ssl-patches pretrain data=shards data.path={output}")
    return {"output": str(output), "images": images, "shards": len(rows)}


def _planned(
    images: Sequence[Any], cfg: Mapping[str, Any]
) -> tuple[dict[str, list[_File]], list[str], list[LeftOut]]:
    """Return the files of each shard, the names of classes, and what is left out.

    ValueError without images.
    """
    planned: dict[str, list[_File]] = {}
    classes: list[str] = []
    left: dict[LeftOut, None] = {}
    for split in ("train", "val"):
        chosen = select(images, split, split_folders=cfg["data"].get("split_folders"))
        classes = list(chosen.classes) or classes
        left |= dict.fromkeys(chosen.left)
        number = {name: label for label, name in enumerate(chosen.classes)}
        files = [
            _File(file.path, file.bytes, -1 if name is None else number[name])
            for file, name in zip(chosen.files, chosen.names, strict=True)
        ]
        files.sort(key=lambda file: hashlib.sha256(os.fsencode(file.path)).digest())
        for at, part in enumerate(_cut(files, cfg["shard_mb"] * 10**6)):
            planned[f"{split}-{at:05}.tar"] = part
    if not planned:
        raise ValueError(
            f"data.root={cfg['data']['root']}: must hold images, but has none; set data.root=DIR"
        )
    return planned, classes, list(left)


def _cut(files: Sequence[_File], most: int) -> Iterator[list[_File]]:
    part: list[_File] = []
    size = 0
    for file in files:
        if part and size + file.bytes > most:
            yield part
            part, size = [], 0
        part.append(file)
        size += file.bytes
    if part:
        yield part


def _shard(root: str, path: Path, files: Sequence[_File]) -> dict[str, Any]:
    """Write a shard and its table, or check the one that is there. Returns its line of the list."""
    shard = Shard(str(path), path.stat().st_size if path.exists() else 0, "")
    known = tables.read_members(Path(f"{path}{TABLE}")) if path.exists() else None
    if known is None or known.name_list() != [file.path for file in files]:
        with replacing(path, durable=True) as aside:
            digests = _write(root, aside, files)
            known = _read_back(root, aside, shard, digests)
        tables.keep_members(known, Path(f"{path}{TABLE}"), sums=sums_of(path, known))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    return {"name": path.name, "bytes": size, "images": len(known), "sha256": digest}


def _write(root: str, aside: Path, files: Sequence[_File]) -> list[bytes]:
    """Write a tar, and return the sha256 of each image. ValueError where one has changed."""
    digests = []
    with tarfile.open(aside, "w", format=tarfile.PAX_FORMAT) as tar:
        for at, file in enumerate(files):
            place = os.path.join(root, file.path)
            check_regular(place)
            content = Path(place).read_bytes()
            if len(content) != file.bytes:
                raise ValueError(
                    f"data.root={root}: {file.path} had {file.bytes:,} bytes and has"
                    f" {len(content):,} now; pack again when nothing writes there"
                )
            digests.append(hashlib.sha256(content).digest())
            suffix = file.path.rpartition(".")[2].lower()
            about: dict[str, Any] = {"path": file.path}
            parts = [(suffix, content)]
            if file.label >= 0:
                about["label"] = file.label
                parts.append(("cls", str(file.label).encode()))
            parts.append(("json", json.dumps(about).encode()))
            for ending, data in parts:
                member = tarfile.TarInfo(f"{at:08}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return digests


def _read_back(root: str, aside: Path, shard: Shard, digests: Sequence[bytes]) -> tables.Members:
    """Return the table of what was written. ValueError where it holds something else."""
    found = tables.members_of_tar(str(aside), shard)
    with aside.open("rb") as file:
        for at, digest in enumerate(digests):
            file.seek(int(found.offsets[at]))
            if hashlib.sha256(file.read(int(found.lengths[at]))).digest() != digest:
                raise ValueError(
                    f"output={shard.url}: what was written is not what was read of"
                    f" {root}; see whether the disk is sound, and pack again"
                )
    return found


def _digest(found: Any) -> str:
    lines = (f"{file.path}\0{file.bytes}\n" for file in found.images)
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def _refuse_other(output: Path, asked: Mapping[str, Any]) -> None:
    """Raise ValueError where ``output`` holds something that was not begun with this request."""
    if not output.exists() or not any(output.iterdir()):
        return
    for name in (BEGUN, LISTED):
        try:
            before = read_json(output / name)
        except (OSError, ValueError):
            continue
        if before.get("asked", before) == asked:
            return
        raise ValueError(
            f"output={output}: holds shards of other images, or with another shard_mb; set output"
            " to a new folder"
        )
    raise ValueError(f"output={output}: is not empty; set output to a new folder")
