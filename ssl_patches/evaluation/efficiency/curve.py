"""Hold a metric over the number of labels, with intervals, and compare two such curves.

A point is the mean over draws of labelled images. Two chances move it: which images were drawn (the
t-interval over draws, where there are several) and which images are tested (Wilson's interval of
accuracies, else the percentile bootstrap). They are taken as independent, and half widths add as
squares, so that few labels and all labels may be compared. Two models are compared in pairs: the
same draws and the same resamples of test images.

The traps: (a) an interval over draws alone, which says nothing of a test set of 400 images; (b) of
two models at the same number of labels the one with more draws would have the narrower interval:
a difference is over the draws that both have; (c) neither covers the seed of pretraining.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, inf, log, sqrt

import numpy as np
import torch
from torch import Tensor

from ssl_patches.evaluation.metrics import LEVEL, bounds
from ssl_patches.evaluation.rows import Row, wilson
from ssl_patches.types import Metric

ACCURACY = "top1"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A metric from so many labels.

    ``number``: labels per class, or images, as asked; None: all. ``size``: how many that are, as
    ``number`` counts them. ``values`` (D,): of each draw, in percent. ``resampled`` (D, R): the
    same under resamples of the test images. ``n``: test images.
    """

    number: int | None
    size: float
    values: Tensor
    resampled: Tensor
    n: int

    @property
    def mean(self) -> float:
        """Return the mean over draws that have a value."""
        return self.values.nanmean().item()

    @property
    def name(self) -> str:
        """Return the number as rows and tables say it."""
        return "all" if self.number is None else str(self.number)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The points of one model in one column, from few labels to all; ``metric``: its last word."""

    model: str
    column: str
    metric: str
    points: Sequence[Point]

    def rows(self, *, data: str) -> list[Row]:
        """Return a row for each point, ``labels10_linear_top1``."""
        found = []
        for point in self.points:
            name = f"labels{point.name}_{self.column}_{self.metric}"
            mean, low, high = interval(point, metric=self.metric)
            if (limits := Metric.named(name, mean).limits) is not None:
                low, high = max(limits[0], low), min(limits[1], high)
            found.append(
                Row(
                    model=self.model,
                    data=data,
                    metric=name,
                    value=mean,
                    low=low,
                    high=high,
                    n=point.n,
                )
            )
        return found

    def at(self, number: int | None) -> Point | None:
        """Return the point of a number of labels; None where there is none."""
        return next((point for point in self.points if point.number == number), None)


def interval(point: Point, *, metric: str) -> tuple[float, float, float]:
    """Return mean, low and high of a point at the level of the protocol, both chances together."""
    mean = point.mean
    low, high = bounds(point.resampled.nanmean(0))
    if metric == ACCURACY and 0 <= mean <= 100:
        low, high = (100 * end for end in wilson(round(mean * point.n / 100), point.n))
    return _joined(point.values, mean, low, high)


def difference(one: Point, other: Point) -> tuple[float, float, float]:
    """Return mean, low and high of ``one`` less ``other``, in pairs of draws and of resamples."""
    draws = min(len(one.values), len(other.values))
    values = one.values[:draws] - other.values[:draws]
    low, high = bounds((one.resampled[:draws] - other.resampled[:draws]).nanmean(0))
    return _joined(values, values.nanmean().item(), low, high)


def _joined(values: Tensor, mean: float, low: float, high: float) -> tuple[float, float, float]:
    """Widen bounds over test images by the t-interval over draws."""
    known = values[values.isfinite()]
    of_draws = 0.0
    if len(known) > 1:
        from scipy.special import stdtrit  # here: a run starts without it

        quantile = float(stdtrit(len(known) - 1, 0.5 + LEVEL / 2))
        of_draws = quantile * known.std().item() / sqrt(len(known))
    below, above = max(0.0, mean - low), max(0.0, high - mean)
    return mean, mean - hypot(below, of_draws), mean + hypot(above, of_draws)


def labels_needed(curve: Curve, value: float) -> float:
    """Return the number of labels at which a curve reaches ``value``, by its points.

    Between points it is interpolated on a log axis; a curve that falls keeps what it had reached.
    The first size where already that is enough, infinity where all labels are not.
    """
    sizes = [point.size for point in curve.points]
    reached = np.maximum.accumulate([point.mean for point in curve.points])
    at = int(np.searchsorted(reached, value))
    if at == 0:
        return sizes[0]
    if at == len(sizes):
        return inf
    share = (value - reached[at - 1]) / (reached[at] - reached[at - 1])
    return float(np.exp(log(sizes[at - 1]) + share * (log(sizes[at]) - log(sizes[at - 1]))))


def curve_point(
    number: int | None, size: float, drawn: Sequence[tuple[Tensor, Tensor]], n: int
) -> Point:
    """Make a point of (value (1,), resampled (R,)) of each draw."""
    return Point(
        number=number,
        size=size,
        values=torch.cat([value for value, _ in drawn]).double(),
        resampled=torch.stack([resampled for _, resampled in drawn]).double(),
        n=n,
    )
