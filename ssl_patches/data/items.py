"""Take anybody's map-style Dataset as a source: an item is an image, (image, label, ...) or a dict
of them.

An image is a PIL image, an array (H, W[, C] or C, H, W) or a tensor (C, H, W or H, W[, C]): whole
numbers of 8 or 16 bits or floats in 0..1, the scaling rule of ``arrays.py``. It becomes the same
square as any file. The first item is looked at when the source is made, so what is wrong with it is
said before anything runs, and says what was expected. It is looked at in a process of its own
(``apart.py``), so that the Dataset reaches the loader's workers as it was given.

``dataset[i]`` must be a function of i: then so is every batch, and a resumed run sees what the
unbroken one would have seen. Augmentation belongs to ``views``, a normalisation to nobody: the
program normalises.

The trap: a Dataset that does not divide itself into splits. If its constructor takes ``split`` it
gets "train" or "val"; any other is divided 80/20 by the hash of the number of an item
(``placed.place``), never used for both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_patches.config.messages import shown
from ssl_patches.data import arrays
from ssl_patches.data.apart import looked_at
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import square_of, square_of_array
from ssl_patches.data.layout import divide_numbers
from ssl_patches.data.source import Request
from ssl_patches.data.stored_source import StoredSource

IMAGE_KEYS, LABEL_KEYS = ("image", "img", "pixels"), ("label", "labels", "target", "class", "y")
LABEL_ATTRIBUTES = ("targets", "labels", "_labels", "y")
PROBED = 16  # items looked at for the load size and the fingerprint
Found = TypeVar("Found")


@dataclass(frozen=True)
class _Probed:
    """What a few items tell: the label of each by its number; side to load at and hash of all;
    what there is to say of them."""

    labels: dict[int, int]
    side: int
    digest: str
    remarks: list[str]


class ItemSource(StoredSource):
    """The images of any map-style Dataset. ValueError, which says what was expected, for another.

    ``dataset``: has ``__len__`` and ``__getitem__``. ``where``: the key and value that errors begin
    with.

    ``divide``: take the train or val part of the items; otherwise all of them are of this split.
    ``identity``: text that decides the images; None takes a hash of a few of them. ``apart``: look
    at items in a process of their own; false where no workers are forked later (their number is 0).
    Labels come from an attribute ``targets``, ``labels`` or ``y`` where it agrees with the items,
    otherwise each item is read once when a probe asks.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        where: str,
        split: str,
        image_size: int,
        channels: int = 3,
        load_size: int | None = None,
        divide: bool = True,
        value_range: Sequence[float] | None = None,
        identity: str | None = None,
        apart: bool = True,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        self._labels: Tensor | None = None
        missing = [name for name in ("__len__", "__getitem__") if not hasattr(dataset, name)]
        if missing:
            raise ValueError(
                f"{where}: must be a map-style Dataset, but {type(dataset).__name__} has no"
                f" {' and no '.join(missing)}; give it both, so that any item can be asked for by"
                " its number"
            )
        self.dataset, self.channels, self.value_range = (
            dataset,
            channels,
            arrays.check_value_range(value_range),
        )
        self.where = where
        self.indices = divide_numbers(len(dataset), split) if divide else range(len(dataset))
        if not self.indices:
            raise ValueError(
                f"{where}: must hold images for {split}, but has {len(dataset)} items; give it more"
            )
        self.reads_apart = apart
        probed = self.look(lambda source: source._probe(request))
        known = _known_labels(dataset)
        agree = known is not None and all(
            label == int(known[number]) for number, label in probed.labels.items()
        )
        self.remarks = probed.remarks
        how = "divided 80/20 by the number of an item" if divide else "split by the dataset itself"
        super().__init__(
            where=where,
            names=[f"item {at}" for at in self.indices],
            labels=known[torch.tensor(self.indices)] if known is not None and agree else None,
            classes=_classes(dataset),
            split_rule=f"{where}, {how}",
            load_size=probed.side,
            corrupt=[],
            identity=[f"{where} {len(self.indices)} {split}", identity or probed.digest],
            max_corrupt=0.01,
        )
        self.known_as = [f"{split}/{at}" for at in self.indices]

    def look(self, find: Callable[[ItemSource], Found]) -> Found:
        """Return ``find(self)`` without leaving the Dataset opened here, where workers need it."""
        return looked_at(self, find) if self.reads_apart else find(self)

    @property
    def labels(self) -> Tensor:
        """Return labels (N,) int64, -1 = none.

        They are read from the items, once, where the dataset lists none.
        """
        if self._labels is None:
            read = self.look(
                lambda source: [source._item_label(at, source.dataset[at]) for at in source.indices]
            )
            self._labels = torch.tensor(read, dtype=torch.int64)
        return self._labels

    @labels.setter
    def labels(self, labels: Tensor) -> None:
        """Take labels (N,) int64 as they are given, -1 = none."""
        self._labels = labels

    def read(self, at: int) -> tuple[Tensor, int]:
        """Return image ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""
        number = self.indices[at]
        item = self._item(number)
        return self._square(number, item), self._item_label(number, item)

    def _item(self, number: int) -> Any:
        """Return what the dataset gives; what it cannot read from disk is damage, any other error
        is the dataset's own."""
        try:
            return self.dataset[number]
        except OSError as error:  # Pillow's UnidentifiedImageError is one
            raise UnreadableImage(f"item {number}", str(error)) from error

    def _probe(self, request: Request) -> _Probed:
        """Look at a few items spread over the dataset. ValueError where none can be read."""
        found, broken = {}, []
        for number in self.indices[:: max(1, len(self.indices) // PROBED)][:PROBED]:
            try:
                found[number] = self._item(number)
            except UnreadableImage as error:
                broken.append(error)
        if not found:
            raise ValueError(
                f"{self.where}: none of {len(broken)} items looked at can be read ({broken[0]});"
                " give it others"
            )
        images = [self._image(at, item) for at, item in found.items()]
        first, item = next(iter(found.items()))
        probed = _Probed(
            {at: self._item_label(at, item) for at, item in found.items()},
            request.side(map(_extent, images)),
            _digest(images),
            arrays.said_nearly_black(images) if self.value_range is None else [],
        )
        self.load_size = probed.side
        self._square(first, item)
        return probed

    def _square(self, at: int, item: Any) -> Tensor:
        image = self._image(at, item)
        try:
            if isinstance(image, Image.Image):
                return square_of(
                    image, channels=self.channels, size=self.load_size, value_range=self.value_range
                )
            return square_of_array(
                image, channels=self.channels, size=self.load_size, value_range=self.value_range
            )
        except ValueError as error:
            raise ValueError(f"{self.where}: item {at} {error}") from error

    def _image(self, at: int, item: Any) -> Image.Image | np.ndarray:
        """Return the image of an item: of Pillow, or an array (C, H, W).

        ValueError says what is missing.
        """
        if isinstance(item, Mapping):
            key = next((key for key in IMAGE_KEYS if key in item), None)
            if key is None:
                raise self._wrong(
                    at, f"is a dict with {_listed(item)} and no image; name the image 'image'"
                )
            item = item[key]
        elif isinstance(item, tuple | list):
            if not item:
                raise self._wrong(at, "is empty; return (image, label)")
            item = item[0]
        if isinstance(item, Image.Image):
            if self.channels not in (1, 3):
                raise self._wrong(
                    at,
                    f"is a PIL image, which has 1 or 3 channels, not {self.channels}; return an"
                    " array (C, H, W)",
                )
            return item
        if not isinstance(item, Tensor | np.ndarray):
            raise self._wrong(
                at,
                f"holds {_called(item)} where the image is due; return a PIL image, an array or a"
                " tensor, or a dict with 'image'",
            )
        values = item.detach().cpu().numpy() if isinstance(item, Tensor) else item
        try:
            return arrays.channels_first(
                values, channels=self.channels, last=isinstance(item, np.ndarray)
            )
        except ValueError as error:
            raise self._wrong(at, f"{error}; return that shape or set data.channels") from None

    def _item_label(self, at: int, item: Any) -> int:
        if isinstance(item, Mapping):
            key = next((key for key in LABEL_KEYS if key in item), None)
            label = None if key is None else item[key]
        else:
            label = item[1] if isinstance(item, tuple | list) and len(item) > 1 else None
        if label is None:
            return -1
        whole = isinstance(label, int | np.integer) or (
            isinstance(label, Tensor | np.ndarray) and label.ndim == 0 and "int" in str(label.dtype)
        )
        if not whole:
            raise self._wrong(
                at,
                f"has {_called(label)} as label; return a whole number, -1 or None where there is"
                " none",
            )
        return int(label)

    def _wrong(self, at: int, what: str) -> ValueError:
        return ValueError(f"{self.where}: item {at} {what}")


def _known_labels(dataset: Any) -> Tensor | None:
    """Return the labels (N,) that a dataset lists by itself, whole numbers, one for each item."""
    for name in LABEL_ATTRIBUTES:
        values = getattr(dataset, name, None)
        if isinstance(values, list | tuple | np.ndarray | Tensor) and len(values) == len(dataset):
            array = np.asarray(values)
            if array.ndim == 1 and array.dtype.kind in "iu":
                return torch.from_numpy(array.astype(np.int64))
    return None


def _classes(dataset: Any) -> list[str]:
    names = getattr(dataset, "classes", None)
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def _extent(image: Image.Image | np.ndarray) -> tuple[int, int]:
    return image.size if isinstance(image, Image.Image) else (image.shape[2], image.shape[1])


def _digest(images: Iterable[Image.Image | np.ndarray]) -> str:
    content = hashlib.sha256()
    for image in images:
        values = np.ascontiguousarray(image)
        content.update(f"{values.shape}{values.dtype}".encode())
        content.update(values.tobytes())
    return content.hexdigest()


def _listed(item: Mapping[str, Any]) -> str:
    return f"the keys {', '.join(map(str, item))}" if item else "no keys"


def _called(value: Any) -> str:
    return f"the text {shown(value)}" if isinstance(value, str) else f"{type(value).__name__}"
