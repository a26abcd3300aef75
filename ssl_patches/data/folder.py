"""A folder of images, labelled or not, as a source: item -> (uint8 (C, S, S), label, index of the image shown).

How a folder is understood, split and labelled stands in ``layout.py``; ``FolderSource.split_rule`` says which case it
was. Labels are for probes: training ignores them, and -1 means none.

Damage is found in two stages, and never becomes a picture. Headers are read before training: what fails is left out
and listed in ``corrupt``. Pixels are decoded only when asked for: a file that fails then is replaced by the next
readable one, whose label and index the item carries, so an item depends on the files and the index alone. Which files
failed is marked in shared memory, which loader workers (fork or spawn) write and the main process reads through
``unreadable()``; whoever crosses ``max_corrupt`` raises, and a DataLoader hands that on to the main process.

The trap: an error that stays in a worker. A counter in the source would be the worker's copy, and the run would report
a clean folder.
"""

from __future__ import annotations

import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from statistics import median_low
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssl_patches.data.decode import UnreadableImage, decode, header
from ssl_patches.data.layout import SUFFIXES, find_images, select

Extent = tuple[int, int]


class FolderSource(Dataset[tuple[Tensor, int, int]]):
    """Images of one split of a folder.

    ``root``: the folder. ``channels``: 1 or 3. ``load_size``: side in pixels of what an item holds; None takes the
    median shorter side of this split's images, kept within ``image_size`` and twice that, so that a random crop of
    ``image_size`` has real pixels to work on. ``load_size=image_size`` gives exactly the exported preprocessing.
    ``max_corrupt``: the share of unreadable files (0..1) above which ``ValueError`` is raised.

    Attributes: ``paths`` (readable by their headers), ``labels`` (N,) int64 with -1 = none, ``classes``, ``corrupt``
    [(path, reason)] by header, ``ignored`` (how many files are not images), ``split_rule``, ``load_size``.
    """

    def __init__(
        self,
        *,
        root: str,
        split: Literal["train", "val"],
        image_size: int,
        channels: int = 3,
        load_size: int | None = None,
        max_corrupt: float = 0.01,
    ) -> None:
        _check(split, image_size, channels, load_size, max_corrupt)
        self.root, self.channels, self.max_corrupt = os.path.expanduser(root), channels, max_corrupt
        if not os.path.isdir(self.root):
            what = "is a file; unpack it and name the folder" if os.path.isfile(self.root) else "does not exist"
            raise ValueError(f"data.root={root}: must be a folder of images, but {what}; set data.root=DIR")
        found, self.ignored = find_images(self.root)
        chosen = select(found, split, divided=os.path.isdir(os.path.join(self.root, "train")))
        if not chosen.files:
            raise ValueError(
                f"data.root={root}: must hold images for {split}, but has {len(found)} images ({' '.join(SUFFIXES)}) "
                f"and {self.ignored} other files below it ({chosen.rule}); set data.root to the folder of the images"
            )
        self.split_rule, self.classes = chosen.rule, chosen.classes

        extents, self.corrupt = read_headers([os.path.join(self.root, file.path) for file in chosen.files])
        self.paths = list(extents)
        self._broken = torch.zeros(len(extents), dtype=torch.uint8).share_memory_()
        self._refuse_too_many(self.corrupt[:1])
        self.load_size = load_size or min(max(median_low(map(min, extents.values())), image_size), 2 * image_size)

        files = [file for file in chosen.files if os.path.join(self.root, file.path) in extents]
        number = {name: label for label, name in enumerate(self.classes)}
        tops = [file.path.removeprefix(chosen.prefix).split("/")[0] for file in files]
        self.labels = torch.tensor([number.get(top, -1) for top in tops], dtype=torch.int64)
        self._lines = "".join(f"{file.path}\0{file.bytes}\n" for file in files)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        """The image ``index``, or the next readable one: (uint8 (C, S, S), its label, its own index)."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        for at in chain(range(index, len(self)), range(index)):
            if self._broken[at]:
                continue
            try:
                image = decode(self.paths[at], channels=self.channels, size=self.load_size)
            except UnreadableImage as error:
                self._broken[at] = 1
                self._refuse_too_many([(error.path, error.reason)])
            else:
                return image, int(self.labels[at]), at
        raise ValueError(f"data.root={self.root}: none of {len(self)} images can be decoded; set data.root to others")

    def unreadable(self) -> list[tuple[str, str]]:
        """(path, reason) of every file known to be damaged: by its header, or by decoding in any worker so far."""
        late = [self.paths[at] for at in self._broken.nonzero().flatten().tolist()]
        return self.corrupt + [(path, self._reason(path)) for path in late]

    def fingerprint(self) -> str:
        """sha256 over the sorted (path below the root, size in bytes) pairs of the files with a readable header."""
        return hashlib.sha256(os.fsencode(self._lines)).hexdigest()

    def _reason(self, path: str) -> str:
        try:
            decode(path, channels=self.channels, size=self.load_size)
        except UnreadableImage as error:
            return error.reason
        return "could not be read when it was asked for, but can be now"

    def _refuse_too_many(self, example: list[tuple[str, str]]) -> None:
        """Raises ``ValueError`` when more than the share ``max_corrupt`` of the files is known to be damaged."""
        total = len(self.corrupt) + len(self.paths)
        bad = len(self.corrupt) + int(self._broken.sum())
        if bad == total:
            raise ValueError(
                f"data.root={self.root}: must hold readable images, but none of {total} is ({_said(example)}); "
                "set data.root to another folder"
            )
        if bad > self.max_corrupt * total:
            share = math.ceil(1000 * bad / total) / 1000
            raise ValueError(
                f"data.max_corrupt={self.max_corrupt}: {bad} of {total} images in {self.root} cannot be read "
                f"({_said(example)}); remove them, or set data.max_corrupt={share} to go on without them"
            )


def read_headers(paths: list[str]) -> tuple[dict[str, Extent], list[tuple[str, str]]]:
    """The extent (width, height) of each readable file, in the order given, and (path, reason) of the others."""
    extents: dict[str, Extent] = {}
    corrupt: list[tuple[str, str]] = []
    with ThreadPoolExecutor(4) as pool:  # a network file system answers slowly; a local disk is as fast with one
        for read, failed in pool.map(_read_some, (paths[at : at + 256] for at in range(0, len(paths), 256))):
            extents |= read
            corrupt += failed
    return extents, corrupt


def _read_some(paths: list[str]) -> tuple[dict[str, Extent], list[tuple[str, str]]]:
    extents: dict[str, Extent] = {}
    corrupt: list[tuple[str, str]] = []
    for path in paths:
        try:
            extents[path] = header(path)
        except UnreadableImage as error:
            corrupt.append((path, error.reason))
    return extents, corrupt


def _said(example: list[tuple[str, str]]) -> str:
    return "; ".join(f"{path}: {reason}" for path, reason in example)


def _check(split: str, image_size: int, channels: int, load_size: int | None, max_corrupt: float) -> None:
    if split not in ("train", "val"):
        raise ValueError(f"data.split={split}: must be train or val; set data.split=train")
    if image_size < 1:
        raise ValueError(f"image_size={image_size}: must be at least 1 pixel; set image_size=64")
    if channels not in (1, 3):
        raise ValueError(f"data.channels={channels}: image files have 1 (grey) or 3 (RGB); set data.channels=3")
    if load_size is not None and load_size < image_size:
        raise ValueError(
            f"data.load_size={load_size}: must be at least image_size ({image_size}), or views are cut from enlarged "
            f"pixels; set data.load_size={image_size} or leave it out"
        )
    if not 0 <= max_corrupt < 1:
        raise ValueError(f"data.max_corrupt={max_corrupt}: must be a share in 0 <= share < 1; set data.max_corrupt=0.01")
