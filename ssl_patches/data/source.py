"""What all sources of stored images share: squares on demand, labels for the probes, and damage
that is told.

Damage never becomes a picture, and an item depends on the files and the index alone: an image that
cannot be read is replaced by the next readable one, whose label and index the item carries. Which
ones failed is marked in shared memory, which loader workers (fork or spawn) write and the main
process reads through ``unreadable()``; whoever crosses ``max_corrupt`` raises, and a DataLoader
hands that on to the main process.

The trap: an error that stays in a worker. A counter in the source would be the worker's copy, and
the run would report a clean folder.
"""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain
from statistics import median_low

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssl_patches.data.decode import UnreadableImage

Item = tuple[Tensor, int, int]  # uint8 (C, S, S), label with -1 = none, index of the image shown
Damage = list[tuple[str, str]]  # (which image, why it cannot be read)


class ImageSource(Dataset[Item], ABC):
    """Images of one split, numbered. A subclass says what is in one: ``read``.

    ``where``: the key and value that errors begin with, such as ``data.root=DIR``. ``names``: of
    the images, in order. ``labels`` (N,) int64, -1 = none. ``corrupt``: what was found damaged
    before. ``identity``: text that decides what the images are, for the fingerprint.
    ``max_corrupt``: the share of unreadable images above which ValueError is raised.
    """

    def __init__(
        self,
        *,
        where: str,
        names: Sequence[str],
        labels: Tensor | None,
        classes: Sequence[str],
        corrupt: Damage,
        identity: Iterable[str],
        max_corrupt: float,
    ) -> None:
        if not 0 <= max_corrupt < 1:
            raise ValueError(
                f"data.max_corrupt={max_corrupt}: must be a share in 0 <= share < 1; set"
                " data.max_corrupt=0.01"
            )
        self.where, self.names, self.classes, self.max_corrupt, self.corrupt = (
            where,
            names,
            list(classes),
            max_corrupt,
            corrupt,
        )
        if labels is not None:
            self.labels = labels
        self._broken = torch.zeros(len(names), dtype=torch.uint8).share_memory_()
        self._fingerprint = hashlib.sha256(os.fsencode("".join(identity))).hexdigest()
        self._refuse_too_many(self.corrupt[:1])

    @abstractmethod
    def read(self, at: int) -> tuple[Tensor, int]:
        """Image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        """The image ``index``, or the next readable one: (uint8 (C, S, S), its label, its own
        index)."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        for at in chain(range(index, len(self)), range(index)):
            if self._broken[at]:
                continue
            try:
                image, label = self.read(at)
            except UnreadableImage as error:
                self._broken[at] = 1
                self._refuse_too_many([(error.path, error.reason)])
            else:
                return image, label, at
        raise ValueError(
            f"{self.where}: none of {len(self)} images can be decoded; set {self._key} to others"
        )

    def unreadable(self) -> Damage:
        """(name, reason) of every image known to be damaged: from the start, or by decoding in any
        worker so far."""
        return self.corrupt + [
            (self.names[at], self._reason(at)) for at in self._broken.nonzero().flatten().tolist()
        ]

    def leave_out(self, broken: Tensor) -> None:
        """``broken`` (N,) bool: images that whoever read all of them before could not decode.
        ValueError for too many."""
        self._broken.masked_fill_(broken, 1)
        self._refuse_too_many(
            [
                (self.names[at], "found when the images were decoded")
                for at in broken.nonzero()[:1].flatten()
            ]
        )

    def fingerprint(self) -> str:
        """sha256 of what decides the images; for files the sorted (path, size in bytes) of those
        with a readable header."""
        return self._fingerprint

    @property
    def _key(self) -> str:
        return self.where.partition("=")[0]

    def _reason(self, at: int) -> str:
        try:
            self.read(at)
        except UnreadableImage as error:
            return error.reason
        return "could not be read when it was asked for, but can be now"

    def _refuse_too_many(self, example: Damage) -> None:
        """Raises ``ValueError`` when more than the share ``max_corrupt`` of the images is known to
        be damaged."""
        total = len(self.corrupt) + len(self.names)
        bad = len(self.corrupt) + int(self._broken.sum())
        said = "; ".join(f"{path}: {reason}" for path, reason in example)
        if bad == total:
            raise ValueError(
                f"{self.where}: must hold readable images, but none of {total} is ({said}); set"
                f" {self._key} to others"
            )
        if bad > self.max_corrupt * total:
            share = math.ceil(1000 * bad / total) / 1000
            raise ValueError(
                f"data.max_corrupt={self.max_corrupt}: {bad} of {total} images of {self.where}"
                f" cannot be read ({said}); remove them, or set data.max_corrupt={share} to go on"
                " without them"
            )


def choose_load_size(extents: Iterable[tuple[int, int]], image_size: int) -> int:
    """The median shorter side, kept within ``image_size`` and twice that: a random crop then has
    real pixels to work on."""
    return min(max(median_low(map(min, extents)), image_size), 2 * image_size)


def check_sizes(*, split: str, image_size: int, channels: int, load_size: int | None) -> None:
    """ValueError for what no source can deliver."""
    if split not in ("train", "val"):
        raise ValueError(f"data.split={split}: must be train or val; set data.split=train")
    if image_size < 1:
        raise ValueError(f"image_size={image_size}: must be at least 1 pixel; set image_size=64")
    if channels < 1:
        raise ValueError(f"data.channels={channels}: must be at least 1; set data.channels=3")
    if load_size is not None and load_size < image_size:
        raise ValueError(
            f"load_size={load_size}: must be at least image_size ({image_size}), or views are cut"
            f" from enlarged pixels; give load_size={image_size} or leave it out"
        )
