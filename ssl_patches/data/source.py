"""Define what a source of images offers, and what the program asks of one.

``ImageSource`` is what training, evaluation and probes ask of a source; all but the images
themselves has a default. A class of somebody else's need not derive from it (``wrapped.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.utils.data import Dataset

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


def choose_load_size(extents: Iterable[tuple[int, int]], image_size: int) -> int:
    """Return the median shorter side in pixels, kept within ``image_size`` and twice that.

    A random crop then has real pixels to work on. ``extents``: (width, height) of images.
    """
    return min(max(median_low(map(min, extents)), image_size), 2 * image_size)
