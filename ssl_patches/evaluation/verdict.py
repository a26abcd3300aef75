"""Say in a sentence whether an encoder is worth more than the floors beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS, TRAINED, Row, with_bounds

FLOORS = {RANDOM_INIT: "random weights", RAW_PIXELS: "raw pixels"}
SPOKEN_OF = ("linear", "knn20", "miou_linear")
"""Beginnings of the names of the metrics that a verdict looks at."""
CEILING = "miou_ceiling"
NOT_YET = "It did not help yet"
"""How a verdict begins that names a floor."""
FULL = 99.0  # percent; a floor there leaves nothing to gain
COARSE = 75.0  # percent; below it most of what is missing may be the grid's
WORDS = {1: "above", 0: "not told from", -1: "below"}
"""How a number stands to another."""


def verdict(rows: Iterable[Row]) -> str:
    """Return one sentence; "" where no floor stands beside the encoder.

    An encoder is called better where the intervals of both do not touch, which asks for more than a
    test of their difference would.
    """
    rows = list(rows)
    pairs = [
        (row, floor)
        for row in _spoken_of([row for row in rows if row.model == TRAINED])
        for floor in rows
        if floor.model in FLOORS
        and (row.metric, row.data, row.n) == (floor.metric, floor.data, floor.n)
    ]
    if not pairs:
        return ""
    if said := list(_missed(pairs)):
        return f"{NOT_YET}: {'; '.join(said)}.{_full(pairs)}"
    floors = dict.fromkeys(FLOORS[floor.model] for _, floor in pairs)
    metrics = dict.fromkeys(row.metric for row, _ in pairs)
    return f"It helped: above {' and '.join(floors)} in {' and '.join(metrics)}."


def coarse(rows: Iterable[Row]) -> str:
    """Say in a sentence that a feature map is too coarse for masks; "" where it is not.

    The best that a grid allows is ``miou_ceiling``: true shares of each cell, read as a prediction.
    """
    ceilings = [row for row in rows if row.model == TRAINED and row.metric == CEILING]
    if not ceilings or ceilings[0].value >= COARSE:
        return ""
    return (
        f"The grid of features is coarse for these masks: it allows a mean IoU of"
        f" {ceilings[0].value:.1f} at most ({CEILING}), and what is small is lost in it. Train with"
        " a smaller encoder.patch_size, or a larger image_size."
    )


def _missed(pairs: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    """Say of each metric which floors are not cleared."""
    for metric in dict.fromkeys(row.metric for row, _ in pairs):
        some = [pair for pair in pairs if pair[0].metric == metric and standing(*pair) < 1]
        floors = [
            f"{WORDS[standing(row, floor)]} {FLOORS[floor.model]} {_number(floor)}"
            for row, floor in some
        ]
        if floors:
            yield f"{metric} {_number(some[0][0])} is {' and '.join(floors)}"


def _full(pairs: Sequence[tuple[Row, Row]]) -> str:
    """Say that a question is too easy, where a floor answers it already."""
    easy = any(
        floor.value >= FULL and floor.as_metric().higher_is_better
        for row, floor in pairs
        if standing(row, floor) < 1
    )
    return (
        f" Where a floor is at {FULL:.0f} or more, nothing is left to gain: take harder labels."
        if easy
        else ""
    )


def standing(row: Row, floor: Row) -> int:
    """Return 1 where ``row`` is better than ``floor`` with intervals apart, -1 where worse, 0 where
    they touch."""
    apart = (row.low > floor.high) - (row.high < floor.low)
    return apart if row.as_metric().higher_is_better else -apart


def _spoken_of(trained: Sequence[Row]) -> list[Row]:
    """One row for each beginning, where there is one; the first row where there is none."""
    found = [
        next((row for row in trained if row.metric.startswith(name)), None) for name in SPOKEN_OF
    ]
    return [row for row in found if row is not None] or list(trained[:1])


def _number(row: Row) -> str:
    return with_bounds(row.metric, row.value, row.low, row.high)
