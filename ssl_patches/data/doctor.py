"""Examine a folder of images: what is in it, what is broken, what to set (``ssl-patches doctor``).

Every file is decoded *as training decodes it* (``survey.py``). Files are taken for copies when
their bytes are equal (sha256), not when their pictures look alike: a photograph saved twice as JPEG
is not found. It looks at any folder, and writes only where it is told to: the list of damaged files
and copies, ``quarantine=FILE``. The decode rate is CPU time of the decoding alone, so it holds for
one core whatever else the machine does.

Of copies the first is kept, of those on both sides of the split the held-out one, so that what is
evaluated stays the same.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl_patches.data.advice import lines_of
from ssl_patches.data.doctor_report import Report, choices, settings
from ssl_patches.data.doctor_request import check_request, quarantine_file
from ssl_patches.data.enough import enough
from ssl_patches.data.examine import Examined
from ssl_patches.data.files import write_quarantine
from ssl_patches.data.survey import Survey, look, shorter_side


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
        shorter_side=shorter_side(survey.extents),
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
