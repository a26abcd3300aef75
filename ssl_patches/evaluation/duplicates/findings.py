"""Decide which images are copies of which, and which are odd, and write them as a CSV.

A group of copies keeps the image with the largest file, and the others are its copies. An image is
odd when its mean distance to its nearest neighbours, copies of it left out, is ``outlier`` robust
deviations (1.4826 x the median absolute deviation) above the median of the folder.

The CSV begins with ``path``, so ``data.skip=FILE`` leaves out what it lists.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.atomic import replacing
from ssl_patches.config.plain_text import field, printable
from ssl_patches.evaluation.duplicates.neighbours import Nearest

COLUMNS = ("path", "split", "finding", "of", "of_split", "cosine", "distance", "deviations")
LEAST_SPREAD = 0.01  # of distances; where all are alike nothing is odd by a hair


@dataclass(frozen=True)
class Image:
    """An image as the user knows it. ``bytes``: of its file, 0 where it has none."""

    path: str
    split: str
    bytes: int = 0


@dataclass(frozen=True)
class Copies:
    """A group of near-copies: the image to keep, and its copies with cosines."""

    kept: int
    copies: list[int]
    cosines: list[float]


@dataclass(frozen=True)
class Findings:
    """What is in a folder. ``distance``, ``deviations`` (N,): of every image, in medians."""

    groups: list[Copies]
    outliers: list[int]  # the oddest first
    distance: NDArray[np.float64]
    deviations: NDArray[np.float64]
    nearest: NDArray[np.int64]  # (N,)


def findings(
    images: Sequence[Image],
    rows: NDArray[np.float32],
    group: NDArray[np.int64],
    found: Nearest,
    *,
    outlier: float,
) -> Findings:
    """Find groups of copies and outliers among N images; ``rows`` (N, dim) have length 1.

    ``group`` (N,): of copies. An image with nothing but copies around it is not odd.
    """
    there = np.isfinite(found.distance)
    total = np.where(there, found.distance.astype(float), 0).sum(1)
    distance = total / np.maximum(there.sum(1), 1)
    distance /= max(float(np.median(distance)), LEAST_SPREAD)
    spread = max(1.4826 * float(np.median(np.abs(distance - 1))), LEAST_SPREAD)
    deviations = np.where(there.any(1), (distance - 1) / spread, 0)
    odd = np.flatnonzero(deviations >= outlier)
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order])) + 1
    copies = [
        _kept(images, rows, [int(one) for one in members])
        for members in np.split(order, bounds)
        if len(members) > 1
    ]
    return Findings(
        groups=sorted(copies, key=lambda one: (-len(one.copies), one.kept)),
        outliers=[int(one) for one in odd[np.argsort(-deviations[odd], kind="stable")]],
        distance=distance,
        deviations=deviations,
        nearest=found.which[:, 0],
    )


def _kept(images: Sequence[Image], rows: NDArray[np.float32], members: list[int]) -> Copies:
    kept = max(members, key=lambda one: (images[one].bytes, -one))
    copies = [one for one in members if one != kept]
    cosines = [float(min(1.0, rows[one] @ rows[kept])) for one in copies]
    order = sorted(range(len(copies)), key=lambda at: -cosines[at])
    return Copies(kept, [copies[at] for at in order], [cosines[at] for at in order])


def across_splits(images: Sequence[Image], found: Findings) -> int:
    """Count groups of copies that lie in more than one split, so that training saw the test."""
    return sum(
        len({images[one].split for one in (group.kept, *group.copies)}) > 1
        for group in found.groups
    )


def write_csv(path: Path, images: Sequence[Image], found: Findings) -> int:
    """Write a row for each copy and outlier, and return their number. OSError where it cannot be.

    An image that is both stands there twice.
    """
    lines = [
        _line(images, found, "copy", one, group.kept, cosine)
        for group in found.groups
        for one, cosine in zip(group.copies, group.cosines, strict=True)
    ]
    lines += [
        _line(images, found, "outlier", one, int(found.nearest[one]), None)
        for one in found.outliers
    ]
    with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
    return len(lines)


def _line(
    images: Sequence[Image], found: Findings, what: str, one: int, other: int, cosine: float | None
) -> list[str]:
    fields = [
        images[one].path,
        images[one].split,
        what,
        images[other].path,
        images[other].split,
        "" if cosine is None else f"{cosine:.4f}",
        f"{found.distance[one]:.4f}",
        f"{found.deviations[one]:.2f}",
    ]
    return [field(printable(text)) for text in fields]


def wrote_findings(path: Path) -> bool:
    """Tell whether a file is a CSV that ``write_csv`` wrote. OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(200).decode("utf-8", "replace").startswith(",".join(COLUMNS))
