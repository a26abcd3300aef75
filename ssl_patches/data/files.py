"""Read image files as sources do: how one becomes a square, which can be opened at all, and which
are to be skipped.

Damage is found in two stages: headers are read before training, and what fails is left out and
listed; pixels are decoded only when asked for.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_patches.config.atomic import replacing
from ssl_patches.config.outside import read_text
from ssl_patches.config.plain_text import as_utf8, field, printable, text_of
from ssl_patches.data import arrays, tiff
from ssl_patches.data.damage import HugeImageFile, UnreadableImage
from ssl_patches.data.decode import decode
from ssl_patches.data.formats import ANY_CHANNELS
from ssl_patches.data.headers import header
from ssl_patches.data.remarks import of_files
from ssl_patches.data.source import Request, StoredSource

Extent = tuple[int, int]  # width, height in pixels
QUARANTINE_COLUMNS = ("path", "reason")


@dataclass(frozen=True, slots=True)
class Reading:
    """How files become squares.

    ``channels``: 1 or 3, or those of array files. ``value_range``: the stored values that become
    0 and 255 in files of more than 8 bits; None: the range of their type.
    """

    channels: int = 3
    value_range: tuple[float, float] | None = None

    def square(self, path: str, size: int) -> Tensor:
        """Decode a file into uint8 (C, S, S), S = ``size``. Raises ``UnreadableImage``."""
        return decode(path, channels=self.channels, size=size, value_range=self.value_range)

    def headers(self, paths: Sequence[str]) -> Headers:
        """Read headers as ``read_headers``.

        ValueError where ``paths`` need what is not installed or cannot have so many channels.
        """
        if self.channels not in (1, 3):
            many = (*arrays.NPY, *arrays.TIFF, *ANY_CHANNELS)
            flat = [path for path in paths if not path.lower().endswith(many)]
            if flat:
                raise ValueError(
                    f"data.channels={self.channels}: {flat[0]} and {len(flat) - 1} more have 1"
                    " (grey) or 3 (RGB), only TIFF, DICOM, npy and npz hold others; set"
                    " data.channels=3"
                )
        tiff.require_readers(paths, channels=self.channels, value_range=self.value_range)
        return read_headers(paths, reading=self)


PLAIN = Reading()


@dataclass(frozen=True, slots=True)
class Headers:
    """The findings of the headers of some files, in the order given.

    ``extents``: (width, height) of each readable file. ``corrupt``: (path, reason) of the damaged.
    ``huge``: of those that are sound, and too large to be decoded whole.
    """

    extents: dict[str, Extent]
    corrupt: list[tuple[str, str]]
    huge: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """An image file as a folder or a list names it."""

    name: str  # below the root; part of the fingerprint
    path: str  # where it is opened
    label: float  # a class, -1 = none; or an amount, NaN = none
    bytes: int | None = None  # its size; None: not looked up yet


class FileSource(StoredSource):
    """Images that are files, each with a label; what ``FolderSource`` and ``ManifestSource`` share.

    Files whose header cannot be read are left out and listed in ``corrupt``; those that are too
    large to be decoded whole are left out and told in ``remarks``. ValueError where all are.
    """

    paths: list[str]
    labels: Tensor

    def __init__(
        self,
        files: Sequence[ListedFile],
        *,
        where: str,
        root: str,
        request: Request,
        reading: Reading,
        classes: Sequence[str],
        split_rule: str,
        max_corrupt: float,
        remarks: Sequence[str] = (),
    ) -> None:
        listed = {file.path: file for file in files}
        found = reading.headers(list(listed))
        extents, corrupt = found.extents, found.corrupt
        self.remarks = [*remarks, *of_huge(found.huge), *of_files(extents, reading.channels)]
        if found.huge and not extents:
            raise ValueError(f"{where}: {of_huge(found.huge)[0]}")
        readable = [listed[path] for path in extents]
        self.root, self.reading, self.paths = root, reading, list(extents)
        self.known_as = [file.name for file in readable]
        super().__init__(
            where=where,
            names=self.paths,
            labels=_as_tensor([file.label for file in readable]),
            classes=classes,
            split_rule=split_rule,
            # where none can be read there is no side, and ValueError is raised
            load_size=request.side(extents.values() or [(request.image_size,) * 2]),
            corrupt=corrupt,
            identity=(f"{file.name}\0{_size(file)}\n" for file in readable),
            files=self.paths,
            read_as=asdict(reading),
            max_corrupt=max_corrupt,
        )

    def read(self, at: int) -> tuple[Tensor, float]:
        """Return image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""
        return self.reading.square(self.paths[at], self.load_size), self.labels[at].item()


def _as_tensor(labels: Sequence[float]) -> Tensor:
    """Return labels (N,): int64 where all are classes, float64 where they are amounts."""
    classes = all(isinstance(label, int) for label in labels)
    return torch.tensor(labels, dtype=torch.int64 if classes else torch.float64)


def _size(file: ListedFile) -> int:
    return os.path.getsize(file.path) if file.bytes is None else file.bytes


def read_headers(paths: Sequence[str], *, reading: Reading = PLAIN) -> Headers:
    """Return what the headers of the files say, four files at a time."""
    extents: dict[str, Extent] = {}
    corrupt: list[tuple[str, str]] = []
    huge: list[tuple[str, str]] = []

    def some(at: int) -> list[Extent | UnreadableImage]:
        return [_extent(path, reading) for path in paths[at : at + 256]]

    # a network file system answers slowly; a local disk is as fast with one
    with ThreadPoolExecutor(4) as pool:
        for at, found in zip(
            range(0, len(paths), 256), pool.map(some, range(0, len(paths), 256)), strict=True
        ):
            for path, extent in zip(paths[at : at + 256], found, strict=True):
                if isinstance(extent, HugeImageFile):
                    huge.append((path, extent.reason))
                elif isinstance(extent, UnreadableImage):
                    corrupt.append((path, extent.reason))
                else:
                    extents[path] = extent
    return Headers(extents, corrupt, huge)


def of_huge(huge: Sequence[tuple[str, str]]) -> list[str]:
    """Say which images are left out because they are too large, and what reads them."""
    if not huge:
        return []
    path, reason = huge[0]
    return [f"{len(huge):,} images ({path}) not used: the first {reason}"]


def _extent(path: str, reading: Reading) -> Extent | UnreadableImage:
    try:
        return header(path, channels=reading.channels, value_range=reading.value_range)
    except UnreadableImage as error:
        return error


def read_skip(path: str | None, known: Collection[str], *, where: str) -> set[str]:
    """Return those of ``known`` that a quarantine list names.

    The list is a CSV with a column ``path``, as ``doctor`` writes it, or a path a line; None names
    nothing. ValueError for a list that cannot be read, or that names none of ``known``: it belongs
    to other images.
    """
    if path is None:
        return set()
    try:
        text = read_text(Path(path).expanduser(), errors="surrogateescape")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(
            f"data.skip={path}: cannot be read ({error}); name the list that ssl-patches doctor"
            " wrote"
        ) from None
    if rows and rows[0][:1] == [QUARANTINE_COLUMNS[0]]:
        rows = rows[1:]
    listed = {text_of(row[0]) for row in rows if row}
    found = listed & set(known)
    if listed and not found:
        raise ValueError(
            f"data.skip={path}: none of its {len(listed)} paths ({min(listed)}, ...) is an image of"
            f" {where}; leave it out, or make it with ssl-patches doctor {where}"
        )
    return found


def write_quarantine(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write (path, reason) as the CSV that ``data.skip`` takes. OSError where it cannot be.

    Paths have the bytes that they have on the disk, whatever those are.
    """
    fields = [[field(path), field(printable(as_utf8(reason)))] for path, reason in rows]
    with (
        replacing(path) as aside,
        aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file).writerows([QUARANTINE_COLUMNS, *fields])
