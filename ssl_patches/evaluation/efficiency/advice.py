"""Say in one sentence which encoder to use from how many labels, and what labels ours saves.

At each number of labels ours is held against the best of the others, in pairs
(``curve.difference``). Frozen features are judged by the linear column, trained ones by the
fine-tuned one.

The trap: the best of many others is partly so by luck. A difference whose interval holds 0 is
called what it is: not told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import isinf
from typing import Any

from ssl_patches.evaluation.efficiency.curve import Curve, Point, difference, labels_needed
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS

FLOORS = {RANDOM_INIT: "random weights", RAW_PIXELS: "raw pixels"}
WAYS = {"frozen": ("linear",), "fine-tuned": ("finetune", "scratch")}
SCRATCH = "training from labels alone"
PER = {"top1": "labels per class", "balanced": "labels per class"}
"""Metric -> what a number of labels counts; images of any other."""


def advice(curves: Sequence[Curve], *, ours: str) -> str:
    """Return one sentence; "" where there is nothing to hold ours against."""
    parts = []
    for way, columns in WAYS.items():
        mine, others = _sides([curve for curve in curves if curve.column in columns], ours)
        if mine is not None and others:
            parts.append(f"{way}: {_said(mine, others)}")
            if way != "frozen" and _never(mine, others):
                parts[-1] += f", {SCRATCH} never"
    if not parts:
        return ""
    counted = PER.get(curves[0].metric, "labelled images")
    return f"Which encoder, by {counted}: {'; '.join(parts)}."


def saved(curves: Sequence[Curve], *, ours: str) -> list[str]:
    """Say for each number of labels what another frozen encoder needs for what ours reaches.

    The strongest rival is asked; where there is none, the strongest floor.
    """
    mine, others = _sides([curve for curve in curves if curve.column == "linear"], ours)
    others = [curve for curve in others if curve.model not in FLOORS] or others
    if mine is None or not others:
        return []
    counted = PER.get(mine.metric, "labelled images")
    lines = []
    for point in mine.points:
        best = max(others, key=lambda curve: _mean(curve, point))
        needed = labels_needed(best, point.mean)
        if isinf(needed):
            said = f"more than all {best.points[-1].size:.0f}"
        elif needed < point.size:
            said = f"{needed:.0f} at most: none saved"
        else:
            said = f"{needed:.0f}: {needed - point.size:.0f} saved"
        if best.at(point.number) and not stands_to(mine, [best], point.number)[0]:
            said += ", but the two are not told apart here"
        lines.append(
            f"{counted}: for what ours does with {point.size:.0f} {named(best)} needs {said}"
        )
    return lines


def ours_less_others(curves: Sequence[Curve], *, ours: str) -> list[dict[str, Any]]:
    """Tell how far ours lies above each other model at each number of labels, in pairs.

    Records of column, labels, other, and difference with low and high, in points; of fine-tuned
    columns ``scratch`` too. The interval holds draws and test images, no seed of pretraining.
    """
    found = []
    for mine in (curve for curve in curves if curve.model == ours):
        columns = next((way for way in WAYS.values() if mine.column in way), (mine.column,))
        _, others = _sides([curve for curve in curves if curve.column in columns], ours)
        for other in others:
            for point in _shared(mine, [other]):
                theirs = other.at(point.number)
                assert theirs is not None
                mean, low, high = difference(point, theirs)
                found.append(
                    {
                        "column": mine.column,
                        "labels": point.name,
                        "other": SCRATCH if other.column == "scratch" else other.model,
                        "difference": mean,
                        "low": low,
                        "high": high,
                    }
                )
    return found


def named(curve: Curve) -> str:
    """Return a curve's model in words."""
    if curve.column == "scratch":
        return SCRATCH
    return FLOORS.get(curve.model, curve.model)


def stands_to(mine: Curve, others: Sequence[Curve], number: int | None) -> tuple[int, Curve]:
    """Tell how ours stands at a number of labels to the best of the others, and which that is.

    1 above, 0 not told apart, -1 below. ValueError where the curves have no such number.
    """
    own = mine.at(number)
    there = [(curve, point) for curve in others if (point := curve.at(number)) is not None]
    if own is None or not there:
        raise ValueError(f"number={number}: no curve has it; name one of {_numbers(mine)}")
    best, point = max(there, key=lambda pair: pair[1].mean)
    _, low, high = difference(own, point)
    return (low > 0) - (high < 0), best


def _said(mine: Curve, others: Sequence[Curve]) -> str:
    """Join the numbers of labels of one answer: ``ours at 1 to 10, not told from NAME at 50``."""
    found = []
    for (stands, best), some in groupby(
        _shared(mine, others), lambda point: _answer(mine, others, point)
    ):
        points = list(some)
        answer = {1: "ours", 0: f"ours not told from {best}", -1: best}[stands]
        found.append(f"{answer} at {_span(points)}")
    return ", ".join(found)


def _answer(mine: Curve, others: Sequence[Curve], point: Point) -> tuple[int, str]:
    stands, best = stands_to(mine, others, point.number)
    return stands, "" if stands > 0 else named(best)


def _span(points: Sequence[Point]) -> str:
    shown = [
        f"all ({point.size:.0f})" if point.number is None else str(point.number) for point in points
    ]
    return shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"


def _sides(curves: Sequence[Curve], ours: str) -> tuple[Curve | None, list[Curve]]:
    mine = next((curve for curve in curves if curve.model == ours), None)
    return mine, [curve for curve in curves if curve.model != ours]


def _never(mine: Curve, others: Sequence[Curve]) -> bool:
    """Tell whether training from labels alone is below ours at every number."""
    scratch = [curve for curve in others if curve.column == "scratch"]
    return bool(scratch) and all(
        stands_to(mine, scratch, point.number)[0] > 0 for point in _shared(mine, scratch)
    )


def _shared(mine: Curve, others: Sequence[Curve]) -> Iterator[Point]:
    return (p for p in mine.points if any(curve.at(p.number) is not None for curve in others))


def _mean(curve: Curve, point: Point) -> float:
    found = curve.at(point.number)
    return float("-inf") if found is None else found.mean


def _numbers(curve: Curve) -> list[str]:
    return [point.name for point in curve.points]
