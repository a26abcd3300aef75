"""Examine a folder of images: what is in it, what is broken, what to set (``ssl-patches doctor``).

Every header is read, then every file is decoded *as training decodes it*, by one process per core:
what is damaged here is exactly what a run would leave out. Files are taken for copies when their
bytes are equal (sha256), not when their pictures look alike: a photograph saved twice as JPEG is
not found. It looks at any folder, and writes only where it is told to: the list of damaged files
and copies, ``quarantine=FILE``. The decode rate is CPU time of the decoding alone, so it holds for
one core whatever else the machine does.

Of copies the first is kept, of those on both sides of the split the held-out one, so that what is
evaluated stays the same. A worker holds one image at a time. Huge images (slides, Zarr, what is
above Pillow's limit, or so large that a run would see thumbnails) are no damage: they are listed
apart, with the ``data=windows`` that reads them.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

from tqdm import tqdm

from ssl_patches.data import arrays
from ssl_patches.data.advice import lines_of
from ssl_patches.data.doctor_report import Report, choices, settings
from ssl_patches.data.doctor_request import check_request, quarantine_file
from ssl_patches.data.enough import enough
from ssl_patches.data.examine import Examination, Examined
from ssl_patches.data.files import Extent, Reading, write_quarantine
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


def doctor_command(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Examine ``data.root`` and return a ``Report`` as a mapping.

    The list of damaged files and copies is written where ``quarantine`` names a file.

    ValueError for a bad request.
    """
    root, target = os.path.expanduser(cfg["data"]["root"]), quarantine_file(cfg["quarantine"])
    workers = check_request(cfg, root, target)
    survey = look(
        root,
        channels=cfg["data"]["channels"],
        value_range=cfg["data"]["value_range"],
        workers=workers,
        split_folders=cfg["data"].get("split_folders"),
    )
    groups = _copies(survey.examined, survey.side_of)
    listed = {path: f"damaged: {reason}" for path, reason in survey.damaged.items()}
    listed |= {path: f"copy of {group[0]}" for group in groups for path in group[1:]}
    if listed and target is not None:
        write_quarantine(target, sorted(listed.items()))
    report = _report(cfg["data"]["root"], survey, groups, listed, target)
    suggested = settings(
        report,
        reading=survey.reading,
        workers=workers,
        split_folders=cfg["data"].get("split_folders"),
        corrupt=0 if report.quarantine else _corrupt(survey),
    )
    chosen = (
        lines_of(choices(report, channels=survey.reading.channels))
        if report.mostly_plain and suggested
        else []
    )
    known = enough(report.train) if report.mostly_plain and suggested else ""
    return asdict(report) | {"settings": suggested, "chosen": chosen, "known": known}


def _corrupt(survey: Survey) -> float:
    """Return the share of damaged files, of the side that has more of them."""
    sides = [[file.path for file in part.files] for part in survey.chosen.values()]
    return max(sum(path in survey.damaged for path in side) / max(1, len(side)) for side in sides)


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


def _report(
    root: str,
    survey: Survey,
    groups: list[list[str]],
    listed: Mapping[str, str],
    target: Path | None,
) -> Report:
    side_of, traits, train = survey.side_of, survey.traits.values(), survey.chosen["train"]
    bad = survey.damaged if target is None else listed
    usable = Counter(
        side for path, side in side_of.items() if path not in bad and path in survey.extents
    )
    values = [value for result in survey.examined.values() for value in result.values or ()]
    extents = survey.extents.items()
    _, largest = max(((w * h, f"{path} ({w} x {h})") for path, (w, h) in extents), default=(0, "-"))
    return Report(
        root=root,
        images=len(survey.found.images),
        other_files=survey.found.others,
        remarks=survey.remarks(),
        split_rule=train.rule,
        train=usable["train"],
        val=usable["val"],
        classes=len(train.classes),
        labels=dict(sorted(Counter(survey.class_of.values()).items())),
        formats=_counted([trait.format for trait in traits]),
        modes=_counted([trait.mode for trait in traits]),
        channels=_counted([str(trait.channels) for trait in traits if trait.channels]),
        shorter_side=_shorter_side(survey.extents),
        largest=largest,
        deep=len(values) // 2,
        value_range=[min(values), max(values)] if values else None,
        damaged=[
            {"path": path, "reason": reason} for path, reason in sorted(survey.damaged.items())
        ],
        huge=[{"path": path, "reason": reason} for path, reason in sorted(survey.huge.items())],
        duplicates=groups,
        duplicates_across_splits=_mixed(groups, side_of),
        duplicates_across_classes=_mixed(groups, survey.class_of),
        images_per_second_per_core=_rate(survey.examined),
        quarantine=str(target) if listed and target is not None else None,
        known="",
        chosen=[],
        settings="",
    )


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
    median = _shorter_side(extents)["median"]
    return max((size for size in VIEW_SIZES if size <= median), default=VIEW_SIZES[0])


def _shorter_side(extents: Mapping[str, Extent]) -> dict[str, int]:
    sides = [min(extent) for extent in extents.values()] or [0]
    return {"least": min(sides), "median": median_low(sides), "most": max(sides)}


def _counted(names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _copies(examined: Mapping[str, Examined], side_of: Mapping[str, str]) -> list[list[str]]:
    """Group readable files with equal bytes, the one to keep first."""
    groups = defaultdict(list)
    for path, result in examined.items():
        if result.reason is None:
            groups[result.digest].append(path)
    return sorted(
        sorted(group, key=lambda path: (side_of[path] != "val", path))
        for group in groups.values()
        if len(group) > 1
    )


def _mixed(groups: Sequence[Sequence[str]], where: Mapping[str, str]) -> int:
    """How many groups have members of more than one kind."""
    return sum(len({where.get(path) for path in group}) > 1 for group in groups)


def _rate(examined: Mapping[str, Examined]) -> float:
    seconds = [result.seconds for result in examined.values() if result.reason is None]
    return round(len(seconds) / max(sum(seconds), 1e-9), 1)
