"""Look at every image of a folder, as training would read it.

Every header is read, then every file is decoded by one process per core: what is damaged here is
exactly what a run would leave out. A worker holds one image at a time. Huge images (slides, Zarr,
what is above Pillow's limit, or so large that a run would see thumbnails) are no damage: they are
listed apart.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from tqdm import tqdm

from ssl_patches.data import arrays
from ssl_patches.data.examine import Examination, Examined
from ssl_patches.data.files import Extent, Reading
from ssl_patches.data.layout import Selection, select
from ssl_patches.data.module import ordered_items
from ssl_patches.data.remarks import of_extents, of_traits
from ssl_patches.data.source import choose_load_size
from ssl_patches.data.suffixes import HUGE, ZARR
from ssl_patches.data.traits import Traits, traits_of
from ssl_patches.data.walk import Found, find_images

HUGE_PIXELS = 2**26  # 8192 x 8192: a view of 224 px shows a thousandth of it, or a thumbnail
VIEW_SIZES = (32, 48, 64, 96, 128, 160, 224)


@dataclass(frozen=True, slots=True)
class Survey:
    """The findings about the files of a folder, by path below it."""

    found: Found
    chosen: Mapping[str, Selection]  # of train and val
    traits: Mapping[str, Traits]
    extents: Mapping[str, Extent]  # of those whose header can be read
    damaged: Mapping[str, str]
    huge: Mapping[str, str]  # what only data=windows reads, or reads better, and why
    examined: Mapping[str, Examined]
    reading: Reading
    image_size: int

    @property
    def side_of(self) -> dict[str, str]:
        """Return path -> train or val."""
        return {file.path: split for split, part in self.chosen.items() for file in part.files}

    @property
    def class_of(self) -> dict[str, str]:
        """Return path -> class, of the images that have a label."""
        return {
            file.path: name
            for part in self.chosen.values()
            for file, name in zip(part.files, part.names, strict=True)
            if name is not None
        }

    def remarks(self) -> list[str]:
        """Say what is not used, and what of the images is lost as they are read."""
        left = [*self.found.left, *(line for part in self.chosen.values() for line in part.left)]
        return list(
            dict.fromkeys(
                [
                    *map(str, left),
                    *of_traits(self.traits, self.reading.channels),
                    *of_extents(self.extents),
                ]
            )
        )


def look(
    root: str,
    *,
    channels: int | None,
    value_range: Sequence[float] | None,
    workers: int,
    split_folders: bool | None = None,
) -> Survey:
    """Read every header, then decode every file in ``workers`` processes.

    ValueError for a folder without one readable image.
    """
    value_range = arrays.check_value_range(value_range)
    found, huge = find_images(root), _slides(root)
    if not found.images and huge:
        return _only_huge(found, huge, channels or 3)
    if not found.images:
        left = "".join(f"; {line}" for line in found.left)
        raise ValueError(
            f"data.root={root}: must hold images, but has none among {found.others} files{left};"
            " set data.root=DIR"
        )
    chosen = {
        split: select(
            found.images, split, split_folders=split_folders, max_conflicts=len(found.images)
        )
        for split in ("train", "val")
    }
    paths = [file.path for part in chosen.values() for file in part.files]
    traits = {path: traits_of(os.path.join(root, path)) for path in tqdm(paths, **_bar("headers"))}
    reading = Reading(channels or _usual_channels(list(traits.values())), value_range)
    extents, damaged, too_large = _headers(root, paths, reading)
    huge |= too_large | {
        path: f"has {wide} x {high} pixels, of which a run sees a thumbnail"
        for path, (wide, high) in extents.items()
        if wide * high >= HUGE_PIXELS
    }
    if not extents:
        return _only_huge(found, huge, reading.channels)
    size = _view_size(extents)
    examined = _examine(
        root, list(extents), reading, choose_load_size(extents.values(), size), workers
    )
    damaged |= {
        path: result.reason for path, result in examined.items() if result.reason is not None
    }
    return Survey(found, chosen, traits, extents, damaged, huge, examined, reading, size)


def _slides(root: str) -> dict[str, str]:
    """Return the slides and folders of Zarr below ``root``, and why they are no plain images."""
    return {
        file.path: f"is read by data=windows only ({os.path.splitext(file.path)[1]})"
        for file in find_images(root, huge=True).images
        if file.path.lower().endswith((*HUGE, ZARR))
    }


def _only_huge(found: Found, huge: dict[str, str], channels: int) -> Survey:
    """Return what there is to say of a folder without an image that is decoded whole."""
    none = Selection([], [], [], "all are huge", [])
    sides = {"train": none, "val": none}
    return Survey(found, sides, {}, {}, {}, huge, {}, Reading(channels), VIEW_SIZES[-1])


def _headers(
    root: str, paths: list[str], reading: Reading
) -> tuple[dict[str, Extent], dict[str, str], dict[str, str]]:
    """Extents of the readable, and reasons of the damaged and of the huge, by path below ``root``.
    ValueError when all are damaged."""
    found = reading.headers([os.path.join(root, path) for path in paths])
    damaged = {os.path.relpath(path, root): reason for path, reason in found.corrupt}
    huge = {os.path.relpath(path, root): reason for path, reason in found.huge}
    if not found.extents and not huge:
        path, reason = next(iter(damaged.items()))
        raise ValueError(
            f"data.root={root}: none of {len(paths)} images can be read ({path}: {reason}); set"
            " data.root to others"
        )
    extents = {os.path.relpath(path, root): extent for path, extent in found.extents.items()}
    return extents, damaged, huge


def _examine(
    root: str, paths: list[str], reading: Reading, size: int, workers: int
) -> dict[str, Examined]:
    files = Examination([os.path.join(root, path) for path in paths], reading=reading, size=size)
    return dict(
        zip(
            paths,
            tqdm(ordered_items(files, num_workers=workers), total=len(paths), **_bar("decoding")),
            strict=True,
        )
    )


def _bar(what: str) -> dict[str, Any]:
    return {
        "desc": what,
        "unit": "image",
        "disable": not sys.stderr.isatty(),
        "dynamic_ncols": True,
    }


def _usual_channels(traits: Sequence[Traits]) -> int:
    """Return the channels of most array files; 1 where all pictures are grey, 3 otherwise."""
    counts = Counter(trait.channels for trait in traits if trait.channels)
    arrays_only = Counter(
        trait.channels for trait in traits if trait.mode == "array" and trait.channels is not None
    )
    if arrays_only and sum(arrays_only.values()) == sum(counts.values()):
        return arrays_only.most_common(1)[0][0]
    return 1 if set(counts) == {1} else 3


def _view_size(extents: Mapping[str, Extent]) -> int:
    median = shorter_side(extents)["median"]
    return max((size for size in VIEW_SIZES if size <= median), default=VIEW_SIZES[0])


def shorter_side(extents: Mapping[str, Extent]) -> dict[str, int]:
    """Return the least, the median and the most shorter side in pixels; 0 where there are none."""
    sides = [min(extent) for extent in extents.values()] or [0]
    return {"least": min(sides), "median": median_low(sides), "most": max(sides)}
