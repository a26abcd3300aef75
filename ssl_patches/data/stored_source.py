"""Read stored images when they are asked for, and report damage.

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
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ssl_patches.config.keys import changed_after, content_of, files_state, key_of
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import DECODERS
from ssl_patches.data.source import Damage, ImageSource, Item

FEW = 3  # damaged images of a side that are a share of the images of all sides


class StoredSource(ImageSource):
    """Images that are decoded when they are asked for; a subclass says how: ``read``.

    ``where``: the key and value that errors begin with, such as ``data.root=DIR``. ``names``: of
    the images, in order. ``labels`` (N,) int64, -1 = none; None: a subclass has them.
    ``split_rule`` and ``load_size`` as for ``ImageSource``. ``corrupt``: what was found damaged
    before. ``identity``: text that decides what the images are, for the fingerprint; None:
    ``hash_names`` of a subclass has its hash, when it is asked for. ``files``:
    what the images are read from, and ``read_as`` how, for the keys of what is kept.
    ``max_corrupt``: the share 0..1 of unreadable images above which ValueError is raised;
    ``of_all``: how many images all sides have, where that is known. Up to ``FEW`` are a share of
    those: one damaged image is 6 % of 17 held out, and tells nothing of the copy.
    """

    load_size: int
    reads_apart: bool = False

    def __init__(
        self,
        *,
        where: str,
        names: Sequence[str],
        labels: Tensor | None,
        classes: Sequence[str],
        split_rule: str,
        load_size: int,
        corrupt: Damage,
        identity: Iterable[str] | None,
        max_corrupt: float,
        of_all: int = 0,
        files: Sequence[str] = (),
        read_as: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= max_corrupt < 1:
            raise ValueError(
                f"data.max_corrupt={max_corrupt}: must be a share in 0 <= share < 1; set"
                " data.max_corrupt=0.01"
            )
        self.where, self.names, self.classes = where, names, list(classes)
        self.split_rule, self.load_size = split_rule, load_size
        self.max_corrupt, self.corrupt, self._of_all = max_corrupt, corrupt, of_all
        if labels is not None:
            self.labels = labels
        self._broken = torch.zeros(len(names), dtype=torch.uint8).share_memory_()
        named = None if identity is None else os.fsencode("".join(identity))
        self._named_as = "" if named is None else hashlib.sha256(named).hexdigest()
        self._files, self._read_as, self._content = files, dict(read_as or {}), ""
        self._refuse_too_many(self.corrupt[:1])

    @abstractmethod
    def read(self, at: int) -> tuple[Tensor, float]:
        """Return image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        """Return image ``index`` or the next readable one: (uint8 (C, S, S), label, its own index).

        IndexError beyond the images; ValueError where none or too few can be decoded.
        """
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
        """Return (name, reason) of every image known to be damaged: from the start, or by decoding
        in any worker so far."""
        return self.corrupt + [
            (self.names[at], self._reason(at)) for at in self._broken.nonzero().flatten().tolist()
        ]

    def changed_since(self, moment: float) -> Sequence[str]:
        """Return those of its files that changed after ``moment``, as ``keys.changed_after``."""
        return changed_after(self._files, moment)

    def leave_out(self, broken: Tensor) -> None:
        """Mark images that could not be decoded before, ``broken`` (N,) bool.

        ValueError for too many.
        """
        self._broken.masked_fill_(broken, 1)
        self._refuse_too_many(
            [
                (self.names[at], "found when the images were decoded")
                for at in broken.nonzero()[:1].flatten()
            ]
        )

    def fingerprint(self) -> str:
        """Return the sha256 of what decides the images.

        For files that is the (path, size in bytes) of those with a readable header, and what they
        hold (``keys.content_of``).
        """
        if not self._files:
            return self._names
        self._content = self._content or self.hash_content()
        return key_of(names=self._names, content=self._content)

    def former_fingerprint(self) -> str:
        """Return the sha256 of names and sizes alone, as runs of before hold it."""
        return self._names

    def kept_key(self) -> str:
        """Return a hash of the files as they are now, how they are read, and the labels.

        "" for images that come from no files.
        """
        if not self._files:
            return ""
        return key_of(
            names=self._names,
            files=self.hash_state(),
            read_as=self._read_as,
            decoders=DECODERS,
            labels=self.label_key(),
        )

    def label_key(self) -> str:
        """Return a hash of labels and classes where they are listed beside files, else ""."""
        if not self._files or self.labels is None:
            return ""
        return key_of(labels=self.labels.tolist(), classes=list(self.classes))

    def hash_names(self) -> str:
        """Return the sha256 of what decides the images, where ``identity`` was not given."""
        return ""

    def hash_state(self) -> str:
        """Return ``keys.files_state`` of the files."""
        return files_state(self._files)

    def hash_content(self) -> str:
        """Return a hash of what the files hold."""
        return content_of(self._files)

    @property
    def _names(self) -> str:
        self._named_as = self._named_as or self.hash_names()
        return self._named_as

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
        """Raise ValueError when more than the share ``max_corrupt`` of the images is known to be
        damaged: of this side, or of all sides where that are few."""
        total = len(self.corrupt) + len(self.names)
        bad = len(self.corrupt) + int(self._broken.sum())
        said = "; ".join(f"{path}: {reason}" for path, reason in example)
        if bad == total:
            raise ValueError(
                f"{self.where}: must hold readable images, but none of {total} is ({said}); set"
                f" {self._key} to others"
            )
        if bad > self.max_corrupt * (max(total, self._of_all) if bad <= FEW else total):
            share = share_above(bad / total)
            raise ValueError(
                f"data.max_corrupt={self.max_corrupt}: {bad} of {total} images of {self.where}"
                f" cannot be read ({said}); remove them, or set data.max_corrupt={share} to go on"
                " without them, or more where others are found later"
            )


def share_above(share: float) -> float:
    """Return a number of few digits that is not below a share 0..1, and below 1 as the share is."""
    for digits in range(3, 16):
        found = math.ceil(share * 10**digits) / 10**digits
        if share <= found < 1:
            return found
    return share
