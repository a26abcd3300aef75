"""Read windows of huge images: ``data=windows data.root=DIR data.window=512``.

An item is a window: one of a grid that covers each image, without the empty ones
(``huge/grid.py``). So a batch is a function of (seed, number of the batch) as with any source, each
window is seen equally often, and only the parts of a file are decoded that its window lies in. A
folder is understood as by ``data=folder`` (``layout.py``): all windows of an image stand on the
side of its file, and have the label of its folder.

The trap: windows of one image are near each other. They are never divided between train and val,
but several slides of one patient are: put those into folders train and val.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ssl_patches.config.bounds import check_bounds
from ssl_patches.config.keys import files_state, key_of
from ssl_patches.config.machine import cores, folder_for
from ssl_patches.data.arrays import check_value_range
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.files import read_skip
from ssl_patches.data.huge.grid import Grid, Rule, files_of, kept_counts, window_grid
from ssl_patches.data.huge.image import Box, failures_of
from ssl_patches.data.huge.open import Opened, Opening, file_kind, require_extras
from ssl_patches.data.layout import select
from ssl_patches.data.left_out import said
from ssl_patches.data.source import Damage, Request
from ssl_patches.data.stored import square
from ssl_patches.data.stored_source import StoredSource
from ssl_patches.data.walk import find_images


@dataclass(frozen=True, slots=True)
class _Huge:
    """A huge image: its path below the root and on the disk, its label, its windows."""

    name: str
    path: str
    label: int
    grid: Grid


class WindowSource(StoredSource):
    """The windows of the huge images of one split of a folder; ValueError where there are none.

    ``root``: the folder. ``window``: side of a window in pixels of ``level``. Why: 512 holds two
    views of 224, so that a random crop has real pixels to work on. ``level``: of the smaller copies
    that a file holds. Why: 0 is the full size, which every file has. ``channels``: all bands, pages
    or channels of the images; 1 or 3 where they are grey or colour. ``least_spread``: levels 0..255
    below which a window that is shrunk to 16 px is flat, and left out; 0 keeps all. Why: see
    ``huge/grid.py``. ``most_missing``: the share of pixels without data above which a window is
    left out. Why: half a window still fills a crop. ``memory``: MiB that decoding a PNG or JPEG may
    take, once. Why: a picture of 16,000 px takes that. ``unpacked_dir``: where those are unpacked
    to and what is known of empty windows is kept; None: the user's cache folder. ``split_folders``:
    whether folders named like splits are the splits; null: as for ``FolderSource``, and so is the
    rest.

    Attributes beside those of any source: ``boxes``: of each window, y, x, h, w in pixels of its
    image at full size.
    """

    boxes: Sequence[Box]

    def __init__(
        self,
        *,
        root: str,
        split: Literal["train", "val"],
        image_size: int,
        window: int = 512,
        level: int = 0,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        load_size: int | None = None,
        least_spread: float = 3.0,
        most_missing: float = 0.5,
        memory: int = 1024,
        unpacked_dir: str | None = None,
        skip: str | None = None,
        max_corrupt: float = 0.01,
        split_folders: bool | None = None,
        max_conflicts: int = 0,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        _check(window, level, least_spread, most_missing, memory)
        rule = Rule(
            window, level, channels, check_value_range(value_range), least_spread, most_missing
        )
        root, where = os.path.expanduser(root), f"data.root={root}"
        if not os.path.isdir(root):
            raise ValueError(f"{where}: must be a folder of huge images; set data.root=DIR")
        found = find_images(root, huge=True)
        skipped = read_skip(skip, [file.path for file in found.images], where=where)
        chosen = select(
            found.images, split, split_folders=split_folders, max_conflicts=max_conflicts
        )
        number = {name: label for label, name in enumerate(chosen.classes)}
        listed = [
            (file, -1 if name is None else number[name])
            for file, name in zip(chosen.files, chosen.names, strict=True)
            if file.path not in skipped
        ]
        kept = folder_for(unpacked_dir, "windows", "data.unpacked_dir")
        opening = Opening(channels, rule.value_range, memory, kept)
        paths = [os.path.join(root, file.path) for file, _ in listed]
        require_extras(paths)
        grids, corrupt = _survey(paths, opening, rule, kept)
        self.images = [
            _Huge(file.path, path, label, grids[path])
            for (file, label), path in zip(listed, paths, strict=True)
            if path in grids and len(grids[path].kept)
        ]
        empty = sum(each.count - len(each.kept) for each in grids.values())
        total = sum(each.count for each in grids.values())
        if not self.images and (grids or not paths):
            raise ValueError(
                f"{where}: must hold windows for {split}, but has {len(paths)} images"
                f" ({chosen.rule}) with {total:,} windows, {empty:,} of them empty; set"
                " data.least_spread=0 to keep all, data.value_range to the range of the stored"
                " values, or data.root to other images"
            )
        self.rule, self.opened, self.root = rule, Opened(opening), root
        self._before = kept_counts([each.grid for each in self.images])
        self._numbers = np.concatenate([np.zeros(0, np.int32), *(i.grid.kept for i in self.images)])
        self.remarks = said([*found.left, *chosen.left, *_told(self.images, empty, total, paths)])
        self.boxes, self.known_as = _Boxes(self), _Names(self, where=False)
        super().__init__(
            where=where,
            names=_Names(self, where=True),
            labels=torch.from_numpy(
                np.repeat([each.label for each in self.images], np.diff(self._before)).astype(
                    np.int64
                )
            ),
            classes=chosen.classes,
            split_rule=chosen.rule,
            load_size=request.side([(window, window)]),
            corrupt=corrupt,
            identity=(
                f"{each.name}\0{_size(each.path)}\0{rule}\0{len(each.grid.kept)}\n"
                for each in self.images
            ),
            files=[each.path for each in self.images],
            read_as={**asdict(rule), "load_size": load_size},
            max_corrupt=max_corrupt,
        )

    def at(self, index: int) -> tuple[_Huge, int]:
        """Return the image of window ``index``, and the number of the window in its grid."""
        image = int(np.searchsorted(self._before, index, "right")) - 1
        return self.images[image], int(self._numbers[index])

    def read(self, at: int) -> tuple[Tensor, float]:
        """Return window ``at`` as uint8 (C, S, S), and its label. Raises ``UnreadableImage``."""
        image, number = self.at(at)
        part = self.opened.read(image.path, image.grid.box(number), self.rule.level)
        with failures_of(image.path):
            pixels = square(
                part,
                channels=self.rule.channels,
                size=self.load_size,
                value_range=self.rule.value_range,
            )
        return torch.from_numpy(pixels), image.label

    def kept_key(self) -> str:
        """Return a hash of the files as they are now, how they are read, and the labels."""
        state = files_state(file for each in self.images for file in files_of(each.path))
        return key_of(whole=super().kept_key(), state=state)

    def label_key(self) -> str:
        """Return a hash of the labels of the images, and of the classes."""
        return key_of(labels=[each.label for each in self.images], classes=list(self.classes))


@dataclass(frozen=True)
class _Boxes(Sequence[Box]):
    """The boxes of all windows, made as they are asked for."""

    source: WindowSource

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Box:  # type: ignore[override]
        image, number = self.source.at(index)
        return image.grid.full_box(number)


@dataclass(frozen=True)
class _Names(Sequence[str]):
    """What windows are called: their file, and where they lie in it."""

    source: WindowSource
    where: bool

    def __len__(self) -> int:
        return int(self.source._before[-1])

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        image, number = self.source.at(index)
        if not self.where:
            return image.name
        y, x, h, w = image.grid.full_box(number)
        return f"{image.path} (y={y}, x={x}, {h} x {w})"


def _survey(
    paths: Sequence[str], opening: Opening, rule: Rule, folder: Path
) -> tuple[dict[str, Grid], Damage]:
    """Find the windows of every image, several images at a time; (path, reason) of the damaged.

    Pictures that may have to be unpacked come one after the other, as they take memory.
    """

    def found(path: str) -> Grid | UnreadableImage:
        try:
            image = opening.open(path)
        except UnreadableImage as error:
            return error
        try:
            return window_grid(image, path, rule, folder=folder)
        except UnreadableImage as error:
            return error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        finally:
            image.close()

    whole = {path for path in paths if file_kind(path) == "flat"}
    grids: dict[str, Grid] = {}
    corrupt: Damage = []
    with (
        ThreadPoolExecutor(cores() or 1) as pool,
        tqdm(
            total=len(paths),
            desc="windows",
            unit="image",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        ) as bar,
    ):
        parts = [path for path in paths if path not in whole]
        for path, result in _pairs(parts, pool.map(found, parts), [*whole], map(found, whole)):
            bar.update()
            if isinstance(result, UnreadableImage):
                corrupt.append((path, result.reason))
            else:
                grids[path] = result
    return grids, sorted(corrupt)


def _pairs(
    some: Sequence[str],
    of_some: Iterator[Grid | UnreadableImage],
    others: Sequence[str],
    of_others: Iterator[Grid | UnreadableImage],
) -> Iterator[tuple[str, Grid | UnreadableImage]]:
    yield from zip(some, of_some, strict=True)
    yield from zip(others, of_others, strict=True)


def _told(images: Sequence[_Huge], empty: int, total: int, paths: Sequence[str]) -> list[str]:
    """Say how many windows there are, and what is left out."""
    lines = [f"{total - empty:,} windows of {len(images):,} images"]
    if empty:
        lines[0] += f"; {empty:,} of {total:,} left out as empty (data.least_spread=0 keeps all)"
    none = len(paths) - len(images)
    if none and images:
        lines.append(f"{none:,} images have no window that is not empty, or cannot be read")
    return lines


def _check(window: int, level: int, least_spread: float, most_missing: float, memory: int) -> None:
    """Raise ValueError for a setting out of its range."""
    check_bounds(
        "data",
        [
            ("window", window, 1, 2**14, 512),
            ("level", level, 0, 64, 0),
            ("least_spread", least_spread, 0, 128, 3),
            ("most_missing", most_missing, 0, 1, 0.5),
            ("memory", memory, 1, 2**20, 1024),
        ],
    )


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0
