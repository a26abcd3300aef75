"""Decode the images of a source once, into a memory-mapped array of bytes that runs share.

What is kept is what the source gives, its uint8 squares (their side is ``load_size``: between
``image_size`` and twice that, so that a random crop has real pixels to work on), and for each image
which one is shown in its place. A run with the cache is, bit for bit, the run without. Colour
images that ``resample.py`` resizes one by one lie with their channels last, which it reads in less
than half the time.

A cache is a folder PLACE/KEY that appears complete and at once: it is written to PLACE/.KEY.partial
and renamed (``config/atomic.py``). So a builder that is killed leaves nothing that could be taken
for images, and of two builders one works while the other waits (the locks of ``config/locks.py``,
which tell the dead from the living on other machines too). KEY is a hash of all that decides the
pixels: the source's configuration, each file's size and time of change, the shape, and the
versions of the decoders.

Traps: (a) a Dataset of one's own whose *code* changes keeps its key: delete the folder then, or set
another one; (b) writing through a memory map turns a full disk into a signal that kills the
process: here files are written as files; (c) a memory map that is pickled to a worker is copied
whole: the array is opened again there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ssl_patches.config import locks
from ssl_patches.config.atomic import replacing_folder
from ssl_patches.config.keys import key_of
from ssl_patches.config.machine import cores, folder_for
from ssl_patches.config.plain_text import printable, tell
from ssl_patches.data.decode import DECODERS
from ssl_patches.data.items import ItemSource
from ssl_patches.data.module import items_of, ordered_loader
from ssl_patches.data.source import ImageSource, Item
from ssl_patches.data.stored_source import StoredSource
from ssl_patches.data.wrapped import WrappedSource
from ssl_patches.types import ImageBatch

LAYOUT = 1  # of the files in a cache; part of every key
MAX_GB = 20.0
IMAGES, SHOWN, LABELS, ABOUT = "images.npy", "shown.npy", "labels.npy", "about.json"
WAIT = 1.0  # seconds between two looks at what another process is building


class CachedSource(WrappedSource):
    """A source with its images from a cache; all else (labels, fingerprint, ...) is its own.

    ``identity``: text that decides the images beside the source's fingerprint. ``place``: the
    folder of caches. ``max_gb``: ValueError when the images need more. ``channels_last``: keep them
    channels-last in memory (RGB only). Until ``fill_cache`` has been called images come from the
    source.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        identity: str,
        place: Path,
        max_gb: float = MAX_GB,
        channels_last: bool = False,
    ) -> None:
        super().__init__(source)
        sample, _, _ = items_of(source, [0])[0]
        self.shape: tuple[int, ...] = (len(source), *sample.shape)
        self.channels_last = channels_last and len(sample) == 3
        self.folder = place / _key(source, identity, self.shape)
        self.images: NDArray[np.uint8] | None = None
        self.shown: NDArray[np.int64] | None = None
        self.stored_labels: Tensor | None = None
        self.about = {
            "layout": LAYOUT,
            "images": len(source),
            "shape": list(sample.shape),
            "identity": identity,
        }
        if sample.dtype != torch.uint8:
            raise ValueError(
                f"data.cache={place}: keeps bytes, and these images are {sample.dtype}; set"
                " data.cache=false"
            )
        self._refuse_too_large(max_gb)

    def fill_cache(self, *, num_workers: int) -> None:
        """Open the cache; where it is not there, make it or wait for the process that does.

        ValueError where it cannot be written. Ctrl-C leaves nothing behind.
        """
        told = False
        try:
            while not self._open():
                with locks.locked(self.folder) as ours:
                    if ours:
                        if not self._open():  # it may have been finished between the two looks
                            self._make(num_workers)
                        continue
                if not told:
                    tell(
                        f"{self.folder}: {locks.owner(self.folder)} decodes these images; waiting"
                        " for it",
                        file=sys.stderr,
                    )
                told = True
                time.sleep(WAIT)
        except OSError as error:
            raise ValueError(
                f"data.cache={self.folder.parent}: cannot be written ({error.strerror}); set"
                " data.cache to another folder, or data.cache=false"
            ) from error

    def changed_since(self, moment: float) -> Sequence[str]:
        """Return nothing: images are read from the cache, as they were when it was made."""
        return []

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Item:
        """Return (uint8 (C, S, S), label, index of the image shown), as the source does."""
        if self.images is None:
            return self.source[index]
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        images, labels, shown = self._batch([index])
        return images[0], labels[0].item(), int(shown[0])

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch | list[Item]:
        """Return a batch at once; torch's DataLoader asks for it by this name."""
        if self.images is None:
            return [self.source[index] for index in indices]
        return self._batch(indices)

    def _batch(self, indices: Sequence[int]) -> ImageBatch:
        if self.images is None or self.shown is None:
            raise RuntimeError(f"{self.folder}: is not open; call fill_cache first")
        shown = self.shown[indices]
        index = torch.from_numpy(shown)
        images = torch.from_numpy(self.images.take(shown, axis=0))
        return ImageBatch(
            images.permute(0, 3, 1, 2) if self.channels_last else images,
            self._labels()[index],
            index,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "images": None, "opened": self.images is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = state.pop("opened")
        self.__dict__.update(state)
        if opened and not self._open():
            raise ValueError(
                f"data.cache={self.folder.parent}: {self.folder.name} is gone; leave it until the"
                " run has ended"
            )

    def _stored_shape(self) -> tuple[int, ...]:
        count, channels, height, width = self.shape
        return (count, height, width, channels) if self.channels_last else self.shape

    def _labels(self) -> Tensor:
        """Return (N,): the source's own where it lists them, as a manifest may be labelled anew."""
        listed = None if isinstance(self.source, ItemSource) else self.source.labels
        if listed is None:
            listed = self.stored_labels
        if listed is None:
            raise RuntimeError(f"{self.folder}: is not open; call fill_cache first")
        return listed

    def _open(self) -> bool:
        try:
            images = np.load(self.folder / IMAGES, mmap_mode="r", allow_pickle=False)
            shown, labels = (
                np.load(self.folder / name, allow_pickle=False) for name in (SHOWN, LABELS)
            )
        except (OSError, ValueError, EOFError):  # not there, or cut short by whoever copied it
            return False
        if (
            images.shape != self._stored_shape()
            or images.dtype != np.uint8
            or len(shown) != len(labels)
            or len(shown) != len(images)
        ):
            return False
        self.images, self.shown, self.stored_labels = (
            np.asarray(images),
            shown,
            torch.from_numpy(labels),
        )
        if isinstance(self.source, StoredSource):
            self.source.leave_out(torch.from_numpy(shown != np.arange(len(shown))))
        return True

    def _make(self, num_workers: int) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # it cannot be opened; its room is needed
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        aside = self.folder.with_name(f".{self.folder.name}.partial")
        with replacing_folder(self.folder, durable=True, aside=aside) as half:
            shown, labels = self._decode(half / IMAGES, num_workers)
            np.save(half / SHOWN, shown)
            np.save(half / LABELS, labels)
            (half / ABOUT).write_text(json.dumps(self.about, indent=1) + "\n", encoding="utf-8")

    def _decode(self, path: Path, num_workers: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Write all images; return for each which one is shown, (N,), and its label, (N,)."""
        count, size, shape = len(self), int(np.prod(self.shape[1:])), self._stored_shape()
        readable, labels = np.zeros(count, bool), np.full(count, -1)
        loader = ordered_loader(self.source, batch_size=64, num_workers=_workers(num_workers))
        bar = tqdm(
            total=count,
            desc=printable(f"decoding into {path.parent.parent}"),
            unit="image",
            disable=not sys.stderr.isatty(),
        )
        with path.open("wb") as file, bar:
            npy.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            begin = file.tell()
            for batch in loader:
                images = batch.images.permute(0, 2, 3, 1) if self.channels_last else batch.images
                for image, index in zip(
                    images.contiguous().numpy(), batch.index.tolist(), strict=True
                ):
                    file.seek(begin + index * size)  # no move, but where images cannot be read
                    file.write(image.data)
                readable[batch.index], labels[batch.index] = True, batch.labels
                bar.update(len(batch.index))
            file.truncate(begin + count * size)
        shown = np.flatnonzero(readable)[
            np.searchsorted(np.flatnonzero(readable), np.arange(count)) % readable.sum()
        ]
        return shown, labels

    def _refuse_too_large(self, max_gb: float) -> None:
        place, gigabytes = self.folder.parent, int(np.prod(self.shape)) / 1e9
        if not max_gb > 0:
            raise ValueError(
                f"data.cache_max_gb={max_gb}: must be more than 0; set data.cache_max_gb={MAX_GB:g}"
            )
        images = (
            f"{self.shape[0]:,} images of {' x '.join(map(str, self.shape[1:]))} bytes are"
            f" {gigabytes:.3g} GB decoded"
        )
        if gigabytes > max_gb:
            raise ValueError(
                f"data.cache_max_gb={max_gb:g}: {images}; set"
                f" data.cache_max_gb={_above(gigabytes)}, a smaller image_size, or data.cache=false"
            )
        there = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise ValueError(f"data.cache={place}: {there} is a file; set data.cache to a folder")
        if not self.folder.exists() and not os.access(there, os.W_OK | os.X_OK):
            raise ValueError(
                f"data.cache={place}: {there} may not be written; set data.cache to another folder,"
                " or data.cache=false"
            )
        free = shutil.disk_usage(there).free / 1e9
        if not self.folder.exists() and gigabytes > free:
            raise ValueError(
                f"data.cache={place}: {images}, and {free:.3g} GB are free there; set data.cache to"
                " a folder on a larger disk, or data.cache=false"
            )


def folder_of(cache: bool | str) -> Path:
    """Return the folder that ``data.cache`` means: true is the user's cache folder.

    ValueError for a user without a home.
    """
    return folder_for(cache if isinstance(cache, str) else None, "images", "data.cache")


def _key(source: ImageSource, identity: str, shape: tuple[int, ...]) -> str:
    images = source.kept_key() or source.fingerprint()  # of a Dataset of one's own, see trap (a)
    return key_of(layout=LAYOUT, decoders=DECODERS, shape=shape, images=images, identity=identity)[
        :24
    ]


def _workers(asked: int) -> int:
    """Return 0 where the user wants none, otherwise a process per core."""
    return max(asked, cores() or os.cpu_count() or 1) if asked else 0


def _above(gigabytes: float) -> str:
    """Return a round number above."""
    return f"{np.ceil(gigabytes):.0f}" if gigabytes > 1 else f"{np.ceil(gigabytes * 1000) / 1000:g}"
