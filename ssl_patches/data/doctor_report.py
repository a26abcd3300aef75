"""Report what ``ssl-patches doctor`` found: for scripts, for people, and as a command to paste."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_patches.data.files import Reading

LARGEST_BATCH = 256
SHOWN = 5  # files named of each kind


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a folder, as ``doctor --json`` prints it. Paths are relative to ``root``."""

    root: str
    images: int
    other_files: int
    split_rule: str
    train: int  # usable ones
    val: int
    classes: int
    formats: dict[str, int]
    modes: dict[str, int]  # Pillow's, or "array"
    channels: dict[str, int]
    shorter_side: dict[str, int]  # least, median, most, in pixels
    largest: str
    deep: int  # files of more than 8 bits
    value_range: list[float] | None  # least and most stored value of the files of more than 8 bits
    damaged: list[dict[str, str]]
    duplicates: list[list[str]]  # groups of files with equal bytes
    duplicates_across_splits: int  # groups
    duplicates_across_classes: int
    images_per_second_per_core: float
    quarantine: str | None
    settings: str


def settings(report: Report, *, reading: Reading, image_size: int, workers: int) -> str:
    """Return a command that trains on this folder, to be pasted."""
    words = [
        "ssl-patches pretrain data=folder",
        shlex.quote(f"data.root={report.root}"),
        f"image_size={image_size}",
    ]
    batch = min(LARGEST_BATCH, 2 ** max(report.train, 1).bit_length() // 2)
    words += [f"data.batch_size={batch}"] * (batch < LARGEST_BATCH) + [
        f"data.num_workers={max(workers, 1)}"
    ]
    if reading.channels != 3:
        words.append(f"data.channels={reading.channels}")
    if value_range := reading.value_range or report.value_range:
        low, high = value_range
        words.append(f"'data.value_range=[{low:g},{high:g}]'")
    if 2 * report.deep > report.train + report.val or reading.channels not in (1, 3):
        words += ["data.statistics=measured", "views=microscopy"]
    if report.quarantine:
        words.append(shlex.quote(f"data.skip={report.quarantine}"))
    return " ".join(words)


def page(report: Mapping[str, Any]) -> str:
    """Lay out a report for people."""
    sides, damaged, groups = report["shorter_side"], report["damaged"], report["duplicates"]
    deep = report["value_range"]
    lines = [
        (
            f"{report['images']:,} images and {report['other_files']:,} other files in"
            f" {report['root']}"
        ),
        f"split      {report['train']:,} train, {report['val']:,} val; {report['split_rule']}",
        f"formats    {_said(report['formats'])}",
        f"modes      {_said(report['modes'])}; channels {_said(report['channels'])}",
        (
            f"size       shorter side {sides['least']} to {sides['most']} px, median"
            f" {sides['median']}; largest {report['largest']}"
        ),
        *(
            [
                f"values     {deep[0]:g} to {deep[1]:g} in {report['deep']:,} files of more than 8"
                " bits"
            ]
            if deep
            else []
        ),
        f"decoding   {report['images_per_second_per_core']:,.0f} images/s on one core",
        f"damaged    {len(damaged):,}",
        *_some([f"{row['path']}: {row['reason']}" for row in damaged]),
        (
            f"copies     {sum(map(len, groups)) - len(groups):,} (equal bytes), of {len(groups):,}"
            f" images, {report['duplicates_across_splits']} in both train and val,"
            f" {report['duplicates_across_classes']} in several classes"
        ),
        *_some([" = ".join(group) for group in groups]),
    ]
    if report["quarantine"]:
        lines.append(
            f"quarantine {report['quarantine']} lists the damaged files and the copies; data.skip="
            " leaves them out"
        )
    return "\n".join([*lines, "", report["settings"]])


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "none"


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return [f"           {line}" for line in [*lines[:SHOWN], *more]]
