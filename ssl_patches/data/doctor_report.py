"""Report what ``ssl-patches doctor`` found: for scripts, for people, and as a command to paste."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_patches.config.plain_text import in_lines
from ssl_patches.config.words import spelled
from ssl_patches.data.advice import Choice, Facts, choose
from ssl_patches.data.files import Reading
from ssl_patches.data.stored_source import share_above

MAX_CORRUPT = 0.01  # the default of data.max_corrupt
SHOWN = 5  # files named of each kind


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a folder, as ``doctor --json`` prints it. Paths are relative to ``root``."""

    root: str
    images: int
    other_files: int
    remarks: list[str]  # what is not used, or loses something as it is read
    split_rule: str
    train: int  # usable ones
    val: int
    classes: int
    labels: dict[str, int]  # images of each class, train and val together
    formats: dict[str, int]
    modes: dict[str, int]  # Pillow's, or "array"
    channels: dict[str, int]
    shorter_side: dict[str, int]  # least, median, most, in pixels
    largest: str
    deep: int  # files of more than 8 bits
    value_range: list[float] | None  # least and most stored value of the files of more than 8 bits
    damaged: list[dict[str, str]]
    huge: list[dict[str, str]]  # sound, and to be read in windows
    duplicates: list[list[str]]  # groups of files with equal bytes
    duplicates_across_splits: int  # groups
    duplicates_across_classes: int
    images_per_second_per_core: float
    quarantine: str | None
    known: str  # of training on so many images
    chosen: list[str]  # settings and the reason for each
    settings: str

    @property
    def mostly_plain(self) -> bool:
        """Whether more images are to be read whole than in windows."""
        return self.train + self.val > len(self.huge)


def windows(report: Report, *, reading: Reading, workers: int) -> str:
    """Return a command that trains on windows of the huge images, to be pasted."""
    words = [
        "ssl-patches pretrain data=windows",
        shlex.quote(f"data.root={spelled(report.root)}"),
        f"data.window=512 data.num_workers={max(workers, 1)}",
    ]
    if reading.channels != 3:
        words.append(f"data.channels={reading.channels}")
    return " ".join(words)


def settings(
    report: Report,
    *,
    reading: Reading,
    workers: int,
    split_folders: bool | None = None,
    corrupt: float = 0,
) -> str:
    """Return a command that trains on this folder, to be pasted.

    ``split_folders``: as doctor was told. ``corrupt``: the share of damaged files, 0..1, that no
    list leaves out. Where most images are huge, it reads windows of them. "" where no image of a
    side can be read, as nothing would run.
    """
    if report.mostly_plain and not (report.train and report.val):
        return ""
    if not report.mostly_plain:
        return windows(report, reading=reading, workers=workers)
    words = [
        "ssl-patches pretrain data=folder",
        shlex.quote(f"data.root={spelled(report.root)}"),
        *(choice.word for choice in choices(report, channels=reading.channels)),
        f"data.num_workers={max(workers, 1)}",
    ]
    if reading.channels != 3:
        words.append(f"data.channels={reading.channels}")
    if value_range := reading.value_range or report.value_range:
        low, high = value_range
        words.append(f"'data.value_range=[{low:g},{high:g}]'")
    if 2 * report.deep > report.train + report.val or reading.channels not in (1, 3):
        words.append("data.statistics=measured")
    if split_folders is not None:
        words.append(f"data.split_folders={str(split_folders).lower()}")
    if report.quarantine:
        words.append(shlex.quote(f"data.skip={spelled(report.quarantine)}"))
    elif corrupt > MAX_CORRUPT:
        words.append(f"data.max_corrupt={share_above(corrupt)}")
    return " ".join(words)


def choices(report: Report, *, channels: int) -> list[Choice]:
    """Choose how to train on this folder, as ``pretrain`` does."""
    deep = 2 * report.deep > report.train + report.val
    facts = Facts(report.train, report.shorter_side["median"], channels, deep=deep)
    return choose(facts, given={"data": "folder"})


def report_text(report: Mapping[str, Any]) -> str:
    """Lay out a report for people."""
    sides, damaged, groups = report["shorter_side"], report["damaged"], report["duplicates"]
    deep, huge = report["value_range"], report["huge"]
    lines = [
        (
            f"{report['images']:,} images and {report['other_files']:,} other files in"
            f" {report['root']}"
        ),
        f"split      {report['train']:,} train, {report['val']:,} val; {report['split_rule']}",
        *(f"images     {line}" for line in report["remarks"]),
        *([f"labels     {images_per_class(report['labels'])}"] if report["labels"] else []),
        f"formats    {_said(report['formats'])}",
        f"modes      {_said(report['modes'])}; channels {_said(report['channels'])}",
        (
            f"size       shorter side {sides['least']} to {sides['most']} px, median"
            f" {sides['median']}; largest {report['largest']}"
        ),
        *(
            [
                f"values     {deep[0]:g} to {deep[1]:g} in {report['deep']:,} files of more than 8"
                " bits, without what stands for no data (NaN, -9999)"
            ]
            if deep
            else []
        ),
        f"decoding   {report['images_per_second_per_core']:,.0f} images/s on one core",
        f"damaged    {len(damaged):,}",
        *_some([f"{row['path']}: {row['reason']}" for row in damaged]),
        *(
            [f"huge       {len(huge):,}: data=windows data.root=DIR data.window=512 reads them"]
            if huge
            else []
        ),
        *_some([f"{row['path']}: {row['reason']}" for row in huge]),
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
    elif damaged or groups:
        lines.append("quarantine quarantine=FILE makes a list of them, for data.skip=FILE")
    for at, known in enumerate(filter(None, report["known"].split("; "))):
        lines.append(f"{'' if at else 'enough?':10} {known}")
    if not report["settings"]:
        side = "train" if not report["train"] else "val"
        lines += ["", f"nothing to run: no image of {side} can be read; repair or replace them"]
    for block in (report["chosen"], [report["settings"]] if report["settings"] else []):
        lines += ["", *block] if block else []
    return in_lines(lines)


def images_per_class(labels: Mapping[str, int], most: int = 12) -> str:
    """Return how many images each class has, the fewest first."""
    order = sorted(labels, key=lambda name: (labels[name], name))
    shown = ", ".join(f"{name} {labels[name]:,}" for name in order[:most])
    more = f", and {len(order) - most} more" if len(order) > most else ""
    return f"{len(order)} classes: {shown}{more}"


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "none"


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return [f"           {line}" for line in [*lines[:SHOWN], *more]]
