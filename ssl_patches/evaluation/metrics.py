"""Predictions of test images -> figures with bounds, and the same figures of resampled test images.

Accuracy has Wilson's interval. Mean average precision, variance explained and error have none that
holds in general: theirs is the percentile bootstrap over test images (Efron 1979), 1000 resamples
of a fixed seed, so that a figure and its bounds are the same every time. Resamples are counts (R,
N), how often each image is drawn, and every figure is a function of counts; two models compared
under the *same* counts are compared in pairs.

The trap: average precision of tied scores. All images of one score come in together, as in
scikit-learn, or the order of files in a folder decides the figure.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.rows import Row, accuracy_row

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
AT_ONCE = 2**22  # counts held at a time: 16 MB of float32
MAIN: dict[Kind, str] = {"class": "top1", "multilabel": "map", "value": "r2"}
"""The figure by which probes choose their settings, on a part of train."""


def figures(
    predicted: Tensor, wanted: Tensor, *, kind: Kind, counts: Tensor | None = None
) -> dict[str, Tensor]:
    """Figure -> (R,) float64. ``counts`` (R, N): how often each image is counted; None: each once,
    R = 1.

    ``predicted``, ``wanted``: classes (N,), or scores and labels (N, L), or values (N, D).
    ``top1``, ``map`` and ``r2`` are in percent, ``mae`` is in the unit of the values; of several
    values per image both are the mean. NaN where a figure is not defined: no label has a positive,
    or the values do not vary.
    """
    counts = torch.ones(1, len(wanted)) if counts is None else counts
    if kind == "class":
        return {"top1": 100 * _mean((predicted == wanted)[:, None], counts)[:, 0]}
    if kind == "multilabel":
        return {"map": 100 * mean_average_precision(predicted, wanted, counts)}
    error = predicted.double() - wanted.double()
    centred = wanted.double() - wanted.double().mean(0)  # or squares of large values cancel
    spread = _mean(centred.square(), counts) - _mean(centred, counts).square()
    explained = 1 - _mean(error.square(), counts) / torch.where(
        spread > 1e-12 * spread.max(), spread, torch.nan
    )
    return {"r2": 100 * explained.mean(1), "mae": _mean(error.abs(), counts).mean(1)}


def mean_average_precision(scores: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """(N, L) scores, (N, L) bool, (R, N) counts -> (R,) float64 in 0..1: the mean over labels that
    have a positive."""
    found = []
    for score, positive in zip(scores.T, wanted.T, strict=True):
        score, order = score.sort(descending=True, stable=True)
        # the last image of the same score: up to there is what a threshold at this score lets
        # through
        last = torch.searchsorted(-score.double(), -score.double(), right=True) - 1
        at = positive[order].nonzero()[:, 0]
        drawn = counts[:, order]
        hits, through = (
            (drawn * positive[order]).cumsum(1)[:, last[at]],
            drawn.cumsum(1)[:, last[at]],
        )
        weight = drawn[:, at].double()
        found.append((weight * hits / through.clamp(min=1)).sum(1) / weight.sum(1))
    return torch.stack(found).nanmean(0)


def resamples(images: int, *, count: int = RESAMPLES, seed: int = SEED) -> Iterator[Tensor]:
    """Counts (r, images) float32 of ``count`` bootstrap resamples, some at a time, the same on
    every machine."""
    words = np.random.PCG64(
        seed
    )  # raw words: numpy guarantees those for ever, and its own draws it does not
    some = max(1, AT_ONCE // images)
    for start in range(0, count, some):
        rows = min(some, count - start)
        drawn = ((words.random_raw(rows * images) >> np.uint64(11)) * 2.0**-53 * images).astype(
            np.int64
        )
        drawn += np.repeat(np.arange(rows) * images, images)
        yield (
            torch.from_numpy(np.bincount(drawn, minlength=rows * images)).float().view(rows, images)
        )


def bounds(values: Tensor, level: float = LEVEL) -> tuple[float, float]:
    """(low, high): the middle ``level`` of resampled figures (R,), those that are not defined left
    out."""
    values = values[values.isfinite()].double()
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = values.quantile(ends).tolist() if len(values) else (float("nan"),) * 2
    return low, high


def rows_of(
    predicted: Tensor, wanted: Tensor, *, kind: Kind, name: str, model: str, data: str
) -> list[Row]:
    """``{name}_top1`` of classes, ``{name}_map`` of yes/no labels, ``{name}_r2`` and ``{name}_mae``
    of values."""
    predicted, wanted, n = predicted.cpu(), wanted.cpu(), len(wanted)
    if kind == "class":
        return [accuracy_row(predicted, wanted, model=model, data=data, metric=f"{name}_top1")]
    value = figures(predicted, wanted, kind=kind)
    drawn = [figures(predicted, wanted, kind=kind, counts=counts) for counts in resamples(n)]
    rows = []
    for figure, point in value.items():
        low, high = bounds(torch.cat([some[figure] for some in drawn]))
        rows.append(
            Row(
                model=model,
                data=data,
                metric=f"{name}_{figure}",
                value=point.item(),
                low=low,
                high=high,
                n=n,
            )
        )
    return rows


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """(N, D), (R, N) -> (R, D) float64."""
    counts = counts.double()
    return counts @ values.double() / counts.sum(1, keepdim=True)
