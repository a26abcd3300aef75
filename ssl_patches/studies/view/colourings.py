"""Choose by what the points of a map can be coloured: class, cluster, folder.

A colouring has at most ten colours and one for the rest: more cannot be told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.plain_text import printable
from ssl_patches.studies.view.kept import Points

COLOURS = 10
REST = -1  # in ``of``: a grey point
RANGES = 5  # of labels that are amounts


@dataclass(frozen=True)
class Colouring:
    """One way to colour N points. ``of`` (N,): a number in ``names``, or ``REST``."""

    title: str
    names: list[str]
    of: list[int]
    rest: str = ""  # what the grey points are, "" where there are none


def colourings(points: Points) -> list[Colouring]:
    """Return the colourings that tell something: those with more than one colour."""
    found = []
    if (labels := _by_label(points)) is not None:
        found.append(labels)
    found.append(_named("cluster", [f"cluster {one + 1}" for one in points.clusters.tolist()]))
    found.append(_named("folder", [_folder(name) for name in points.names]))
    return [one for one in found if len(one.names) > 1]


def _by_label(points: Points) -> Colouring | None:
    labels = points.labels
    if labels.dtype.kind == "f":
        return _by_amount(np.asarray(labels, np.float64))
    numbers = labels.tolist()
    if not any(number >= 0 for number in numbers):
        return None
    names = points.classes
    return _named(
        "class",
        ["" if at < 0 else names[at] if at < len(names) else f"class {at}" for at in numbers],
        without="without a label",
    )


def _by_amount(labels: NDArray[np.float64]) -> Colouring | None:
    """Colour by ranges that hold about equally many."""
    known = np.isfinite(labels)
    if not known.any():
        return None
    edges = np.unique(np.quantile(labels[known], np.linspace(0, 1, RANGES + 1)))
    if len(edges) < 2:
        return None
    of = np.clip(np.searchsorted(edges, labels, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    of = np.where(known, of, REST)
    return Colouring("label", names, of.tolist(), "without a label" if not known.all() else "")


def _named(title: str, each: Sequence[str], *, without: str = "") -> Colouring:
    """Colour by names, the most frequent ones first; "" is the rest."""
    counted = Counter(name for name in each if name)
    names = [name for name, _ in counted.most_common(COLOURS)]
    number = {name: at for at, name in enumerate(names)}
    more = len(counted) - len(names)
    said = [without] if without and "" in each else []
    said += [f"{more} more"] if more else []
    return Colouring(
        title,
        [f"{printable(name)} ({counted[name]:,})" for name in names],
        [number.get(name, REST) for name in each],
        " and ".join(said),
    )


def _folder(name: str) -> str:
    """Return the folder that an image lies in, below the root of its source."""
    return name.rpartition("/")[0] or "."
