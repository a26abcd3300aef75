"""When a contender of time_to_knn.py has trained for long enough, and what its marks prove.

Ours trains on a number of images that is fixed beforehand. A peer trains until it has used a
multiple of the CPU seconds after which ours reached the goal. Its schedule has to know its last
step, so a short trial says what a step costs. A mark is an encoder that is measured; between two
marks nothing is known, so what is told is what the marks prove, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Curve = Sequence[Mapping[str, float]]
"""Marks in order: ``cpu`` seconds and ``knn`` in percent."""


def steps_within(trial: Mapping[int, float], seconds: float) -> int:
    """Say how many steps use ``seconds``, from a trial's CPU seconds by step.

    What was spent up to the first mark of the trial is the start and is paid once.
    """
    (first, start), (last, end) = min(trial.items()), max(trial.items())
    if last == first:
        raise ValueError(f"a trial of one mark, {dict(trial)}: two are needed for a step's cost")
    step = (end - start) / (last - first)
    return max(last, first + math.ceil((seconds - start) / step))


def reached(curve: Curve, goal: float) -> float | None:
    """CPU seconds of the first mark at or above the goal; None where no mark is."""
    return next((mark["cpu"] for mark in curve if mark["knn"] >= goal), None)


def proven(curve: Curve, goal: float, ours: float) -> dict[str, float | None]:
    """Bound how many times our seconds a peer needs.

    ``at_least``: it was below the goal at its last mark before the goal. ``at_most``: it was there
    at this mark; None where it never was.
    """
    there = reached(curve, goal)
    below = [mark["cpu"] for mark in curve if there is None or mark["cpu"] < there]
    return {
        "at_least": round(max(below, default=0.0) / ours, 2),
        "at_most": None if there is None else round(there / ours, 2),
    }


def told(name: str, curve: Curve, goal: float, ours: float, times: float) -> str:
    """One line: what the marks of a peer say about the goal of ``times``."""
    bound = proven(curve, goal, ours)
    least, most, best = bound["at_least"], bound["at_most"], max(mark["knn"] for mark in curve)
    if most is None:
        seen = f"not reached in {curve[-1]['cpu']:.0f} CPU s ({least}x ours), best mark {best:.1f}"
    else:
        seen = f"reached between {least}x and {most}x our CPU seconds"
    if least is not None and least >= times:
        return f"{name}: {seen}: goal of {times:g}x met"
    missed = most is not None and most < times
    return f"{name}: {seen}: goal of {times:g}x {'missed' if missed else 'open'}"
