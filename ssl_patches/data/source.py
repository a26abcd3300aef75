"""Define what a source of images offers, and what all sources of stored images share.

``ImageSource`` is what training, evaluation and probes ask of a source; all but the images
themselves has a default. ``StoredSource`` adds squares on demand and damage that is reported.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median_low
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssl_patches.config.keys import changed_after, content_of, files_state, key_of
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import DECODERS

# uint8 (C, S, S), label (a class or a mask) with -1 = none, index of the image shown
Item = tuple[Tensor, float | Tensor, int]
Damage = list[tuple[str, str]]  # (which image, why it cannot be read)


class ImageSource(Dataset[Item], ABC):
    """The images of one split, numbered from 0: ``source[i]`` is (uint8 (C, S, S), label, index).

    A label of -1 means none; the index is that of the image shown, which is another one where
    image i cannot be read. Everything below ``__getitem__`` has a default, which says that the
    source does not know.

    ``labels`` (N,) int64, -1 = none; None: they are those of the items. ``classes``: their names.
    ``paths`` of the files, in order; ``root``: the folder that tables name them relative to.
    ``split_rule``: in words, how the split was chosen. ``load_size``: side S in pixels.
    ``reads_apart``: items must not be read in a process from which loader workers are forked later,
    as the source may open a file then; false where each item opens its own.
    ``known_as``: the name of each image that the user knows it by; empty: its number in the split.
    ``boxes``: where each item lies in its image, y, x, h, w in pixels; None: it is all of it.
    ``blocks``: how many items lie in each shard, in order, and ``mixed`` how many shards are read
    at a time, so that those of an epoch are read one after the other; None: in any order.
    ``remarks``: lines on what is not used, or not as one would expect; every command says them.
    """

    labels: Tensor | None = None
    classes: Sequence[str] = ()
    paths: Sequence[str] = ()
    root: str | None = None
    split_rule: str = ""
    load_size: int | None = None
    known_as: Sequence[str] = ()
    boxes: Sequence[tuple[int, int, int, int]] | None = None
    blocks: Sequence[int] | None = None
    mixed: int = 1
    remarks: Sequence[str] = ()
    reads_apart: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images N."""

    @abstractmethod
    def __getitem__(self, index: int) -> Item:
        """Return image ``index`` 0..N-1; IndexError for any other."""

    def fingerprint(self) -> str:
        """Return a hash of what decides the images; "" where they cannot be recognised.

        The same images have the same one wherever they lie: a run is known again by it.
        """
        return ""

    def former_fingerprint(self) -> str:
        """Return what ``fingerprint`` gave when it looked at names and sizes of files alone.

        Runs of then hold it, and are gone on with.
        """
        return self.fingerprint()

    def kept_key(self) -> str:
        """Return a hash of what decides images and labels here and now, "" where nobody knows.

        It is part of the key of everything that is kept on disk; without one nothing is kept.
        """
        return self.fingerprint()

    def label_key(self) -> str:
        """Return a hash of labels and classes, "" where they are not known without reading items.

        It is apart from the fingerprint: labels do not decide what is trained, but what probes
        find.
        """
        return ""

    def unreadable(self) -> Damage:
        """Return (name, reason) of every image known to be damaged, in any worker so far."""
        return []

    def changed_since(self, moment: float) -> Sequence[str]:
        """Return the files that changed after ``moment`` (seconds as of ``time.time()``).

        Nothing where that is not known; of very many files some are looked at.
        """
        return []

    def fill_cache(self, *, num_workers: int) -> None:
        """Decode all images into the cache before training, where there is one."""

    def expect(self, blocks: Sequence[int]) -> None:
        """Be told which blocks are read next, so that they can be fetched; nothing by default."""


@runtime_checkable
class HasMasks(Protocol):
    """A source that knows the class of every pixel."""

    mask_classes: list[str]  # the name of each id
    objects: list[int]  # ids of things, as against what surrounds them

    def mask(self, index: int) -> Tensor:
        """Return the ids of image ``index``, (H, W) integers, -1 = unlabelled.

        They are square, of any size, the same for all images.
        """


class _Lent:
    """An attribute of ``ImageSource`` that is the wrapped source's own, or the default."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, wrapper: Any, owner: type) -> Any:
        default = getattr(ImageSource, self.name, None)
        return default if wrapper is None else getattr(wrapper.source, self.name, default)


class WrappedSource(ImageSource):
    """Another source passed on; what a class of somebody else's lacks has the defaults.

    Attributes that ``ImageSource`` does not know are those of ``source``.
    """

    labels: Any = _Lent()
    classes: Any = _Lent()
    paths: Any = _Lent()
    root: Any = _Lent()
    split_rule: Any = _Lent()
    load_size: Any = _Lent()
    known_as: Any = _Lent()
    boxes: Any = _Lent()
    blocks: Any = _Lent()
    mixed: Any = _Lent()
    remarks: Any = _Lent()
    reads_apart: Any = _Lent()

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Item:
        return self.source[index]

    def fingerprint(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "fingerprint", super().fingerprint)()

    def former_fingerprint(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "former_fingerprint", self.fingerprint)()

    def kept_key(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "kept_key", self.fingerprint)()

    def label_key(self) -> str:
        """Return that of ``source``."""
        return getattr(self.source, "label_key", super().label_key)()

    def unreadable(self) -> Damage:
        """Return those of ``source``."""
        return getattr(self.source, "unreadable", super().unreadable)()

    def changed_since(self, moment: float) -> Sequence[str]:
        """Return those of ``source``."""
        return getattr(self.source, "changed_since", super().changed_since)(moment)

    def fill_cache(self, *, num_workers: int) -> None:
        """Fill the cache of ``source``."""
        getattr(self.source, "fill_cache", super().fill_cache)(num_workers=num_workers)

    def expect(self, blocks: Sequence[int]) -> None:
        """Tell ``source`` which blocks are read next."""
        getattr(self.source, "expect", super().expect)(blocks)

    def __getattr__(self, name: str) -> Any:
        # asked while this is being unpickled, before there is a source
        if name == "source" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.source, name)


class WrappedWithMasks(WrappedSource):
    """Another source passed on that knows the class of every pixel."""

    mask_classes: Any = _Lent()
    objects: Any = _Lent()

    def mask(self, index: int) -> Tensor:
        """Return the ids of image ``index`` as ``source`` does, (H, W), -1 = unlabelled."""
        return self.source.mask(index)


def as_source(found: Any) -> ImageSource:
    """Return ``found``, wrapped where its class does not derive from ``ImageSource``."""
    if isinstance(found, ImageSource):
        return found
    return WrappedWithMasks(found) if isinstance(found, HasMasks) else WrappedSource(found)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the program asks of a source.

    ``image_size``: side in pixels of a view. ``load_size``: side of what an item holds; None: the
    source chooses. ValueError for what no source can deliver.
    """

    split: str
    image_size: int
    channels: int
    load_size: int | None

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise ValueError(f"data.split={self.split}: must be train or val; set data.split=train")
        if self.image_size < 1:
            raise ValueError(
                f"image_size={self.image_size}: must be at least 1 pixel; set image_size=64"
            )
        if self.channels < 1:
            raise ValueError(
                f"data.channels={self.channels}: must be at least 1; set data.channels=3"
            )
        if self.load_size is not None and self.load_size < self.image_size:
            raise ValueError(
                f"load_size={self.load_size}: must be at least image_size ({self.image_size}), or"
                f" views are cut from enlarged pixels; give load_size={self.image_size} or leave it"
                " out"
            )

    def side(self, extents: Iterable[tuple[int, int]]) -> int:
        """Return the side of an item in pixels, for images of these (width, height)."""
        return self.load_size or choose_load_size(extents, self.image_size)


class StoredSource(ImageSource):
    """Images that are decoded when they are asked for; a subclass says how: ``read``.

    ``where``: the key and value that errors begin with, such as ``data.root=DIR``. ``names``: of
    the images, in order. ``labels`` (N,) int64, -1 = none; None: a subclass has them.
    ``split_rule`` and ``load_size`` as for ``ImageSource``. ``corrupt``: what was found damaged
    before. ``identity``: text that decides what the images are, for the fingerprint; None:
    ``hash_names`` of a subclass has its hash, when it is asked for. ``files``:
    what the images are read from, and ``read_as`` how, for the keys of what is kept.
    ``max_corrupt``: the share 0..1 of unreadable images above which ValueError is raised.
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
        self.max_corrupt, self.corrupt = max_corrupt, corrupt
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
        damaged."""
        total = len(self.corrupt) + len(self.names)
        bad = len(self.corrupt) + int(self._broken.sum())
        said = "; ".join(f"{path}: {reason}" for path, reason in example)
        if bad == total:
            raise ValueError(
                f"{self.where}: must hold readable images, but none of {total} is ({said}); set"
                f" {self._key} to others"
            )
        if bad > self.max_corrupt * total:
            share = share_above(bad / total)
            raise ValueError(
                f"data.max_corrupt={self.max_corrupt}: {bad} of {total} images of {self.where}"
                f" cannot be read ({said}); remove them, or set data.max_corrupt={share} to go on"
                " without them"
            )


def share_above(share: float) -> float:
    """Return a number of few digits that is not below a share 0..1, and below 1 as the share is."""
    for digits in range(3, 16):
        found = math.ceil(share * 10**digits) / 10**digits
        if share <= found < 1:
            return found
    return share


def choose_load_size(extents: Iterable[tuple[int, int]], image_size: int) -> int:
    """Return the median shorter side in pixels, kept within ``image_size`` and twice that.

    A random crop then has real pixels to work on. ``extents``: (width, height) of images.
    """
    return min(max(median_low(map(min, extents)), image_size), 2 * image_size)
