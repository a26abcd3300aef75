"""Read the samples of a shard: image, label and name of each, and what is not used, with the
reason.

A tar is read as WebDataset writes it: files with the same name up to the first dot of their last
part are one sample. Of several images in it (``000.png``, ``000.mask.png``) the one with the
shortest ending is *the* image, pictures before arrays; the others are counted. ``.cls`` is its
class, ``.json`` may say ``label`` and ``path``. Parquet is read as ``datasets`` writes it: a column
of ``{bytes, path}`` or of bytes, and a column ``label``.

A label is a whole number or text, which is a class. Two labels of one image that differ are a
contradiction, which is counted and never resolved by order.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from ssl_patches.config.outside import parse_json
from ssl_patches.data.left_out import Aside
from ssl_patches.data.no_images import no_images_in
from ssl_patches.data.suffixes import ARRAYS, SUFFIXES, UNREAD

LARGEST_NOTE = 2**20  # bytes of a .cls or .json
WHOLE = re.compile(r"[+-]?\d{1,18}")
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "jpg", "png"), ("label", "labels", "cls")
OTHER_IMAGE = "another image of the sample is its image"
NO_CLASS = "the label is neither a whole number from 0 nor text"


@dataclass(slots=True)
class ShardImage:
    """An image in a shard. ``label``: a number, text, or None. ``contradicts``: has two labels."""

    name: str
    offset: int
    length: int
    label: int | str | None = None
    contradicts: bool = False


def read_label(said: Any) -> int | str | None:
    """Return a label as it is meant. None: there is none. ValueError where it is no class."""
    if isinstance(said, bytes):
        said = said.decode()
    if isinstance(said, str):
        text = said.strip()
        said = int(text) if WHOLE.fullmatch(text) else text or None
    if isinstance(said, float):
        if said != said:
            return None
        said = int(said) if said.is_integer() and abs(said) < 2**53 else said
    if said is None or (isinstance(said, int) and said == -1):
        return None
    if isinstance(said, str) or (isinstance(said, int) and 0 <= said < 2**53):
        return int(said) if isinstance(said, bool) else said
    raise ValueError(NO_CLASS)


def samples_of_tar(file: IO[bytes], left: Aside, unlabelled: Aside) -> Iterator[ShardImage]:
    """Yield the image of each sample of an open tar. ``left``: counts what is not used.

    ``unlabelled``: counts labels that are none. Raises as ``tarfile`` does.
    """
    key: tuple[str, str] | None = None
    images: list[ShardImage] = []
    notes: dict[str, bytes] = {}
    with tarfile.open(fileobj=file, mode="r:") as opened:
        for member in opened:
            folder, _, last = member.name.rpartition("/")
            stem, _, suffix = last.partition(".")
            ending = f".{suffix.rpartition('.')[2].lower()}"
            if (why := _no_sample(member, folder, last, ending)) is not None:
                if why:
                    left.add(member.name, why)
                continue
            if (folder, stem) != key:
                yield from _one(images, notes, left, unlabelled)
                key, images, notes = (folder, stem), [], {}
            if ending in SUFFIXES:
                images.append(ShardImage(member.name, member.offset_data, member.size))
            elif suffix.lower() in ("cls", "json") and member.size <= LARGEST_NOTE:
                content = opened.extractfile(member)
                notes[suffix.lower()] = content.read() if content else b""
            elif ending in UNREAD:
                left.add(member.name, f"{ending} is no format that is read here", "files")
    yield from _one(images, notes, left, unlabelled)


def _no_sample(member: tarfile.TarInfo, folder: str, last: str, ending: str) -> str | None:
    """Return why a member is no part of a sample, "" where that is nothing to tell; None if it
    is."""
    if member.isdir():
        return ""
    if last.startswith("."):
        why = "left by another program" if last.startswith("._") else "hidden"
        return why if ending in SUFFIXES else ""
    others = [no_images_in(part, set()) for part in folder.split("/")]
    if any(others):
        return next(filter(None, others)) if ending in SUFFIXES else ""
    if not member.isfile():
        return "a link or device in a tar" if ending in SUFFIXES else ""
    return None


def _one(
    images: list[ShardImage], notes: Mapping[str, bytes], left: Aside, unlabelled: Aside
) -> Iterator[ShardImage]:
    """Yield the image of a sample, with the label and the name that its notes say."""
    if not images:
        return
    image = min(images, key=_rank)
    for other in images:
        if other is not image:
            left.add(other.name, OTHER_IMAGE)
    labels = []
    with suppress(ValueError):
        said = parse_json(notes.get("json", b"{}").decode())
        if isinstance(said, dict):
            path = said.get("path")
            image.name = path if isinstance(path, str) and path else image.name
            labels.append(said.get("label"))
    labels.append(notes.get("cls"))
    known = set[int | str]()
    for label in labels:
        try:
            found = read_label(label)
        except ValueError as error:
            unlabelled.add(image.name, str(error))
        else:
            known |= set() if found is None else {found}
    image.contradicts = len(known) > 1
    image.label = known.pop() if len(known) == 1 else None
    yield image


def _rank(image: ShardImage) -> tuple[bool, int]:
    name = image.name.rpartition("/")[2]
    return name.lower().endswith(ARRAYS), name.count(".")


def columns_of(schema: Any, left: Aside) -> tuple[str | None, str | None, list[str]]:
    """Return the column of images of a Parquet, that of labels, and the names of classes.

    None where there is no such column. ``left``: counts columns of images beside the first.
    """
    images = [field.name for field in schema if _holds_images(field.type)]
    if not images:
        return None, None, []
    image = next((name for name in IMAGE_COLUMNS if name in images), images[0])
    for other in images:
        if other != image:
            left.add(other, f"the column {image} holds the images", "columns of images")
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    classes: list[str] = []
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        said = json.loads((schema.metadata or {})[b"huggingface"])
        classes = list(said["info"]["features"][label]["names"])
    return image, label, classes


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "bytes" in {field.name for field in kind}
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def samples_of_batch(
    batch: Any, image: str, label: str | None, unlabelled: Aside
) -> Iterator[tuple[ShardImage, bytes]]:
    """Yield each image of some rows of a Parquet with its content; its offset is not known yet."""
    import pyarrow as pa

    cells = batch.column(image)
    paths: Any = [None] * len(cells)
    if pa.types.is_struct(cells.type):
        if "path" in {field.name for field in cells.type}:
            paths = cells.field("path").to_pylist()
        cells = cells.field("bytes")
    labels = batch.column(label).to_pylist() if label else [None] * len(cells)
    for cell, path, said in zip(cells, paths, labels, strict=True):
        content = cell.as_py() or b""
        sample = ShardImage(path or "", 0, len(content))
        try:
            sample.label = read_label(said)
        except ValueError as error:
            unlabelled.add(sample.name, str(error))
        yield sample, content
