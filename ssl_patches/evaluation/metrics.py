"""Turn predictions of test images into metrics with bounds.

Accuracy has Wilson's interval. Mean average precision, variance explained and error have none that
holds in general: theirs is the percentile bootstrap over test images (Efron 1979), 1000 resamples
of a fixed seed, so that a metric and its bounds are the same every time. Resamples are counts (R,
N), how often each image is drawn, and every metric is a function of counts; two models compared
under the *same* counts are compared in pairs.

The trap: average precision of tied scores. All images of one score come in together, as in
scikit-learn, or the order of files in a folder decides the metric.
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
"""The metric by which probes choose their settings, on a part of train."""


def metrics_of(
    predicted: Tensor, targets: Tensor, *, kind: Kind, counts: Tensor | None = None
) -> dict[str, Tensor]:
    """Compute the metrics of this kind of labels: name -> (R,) float64.

    ``predicted``, ``targets``: classes (N,), or scores and labels (N, L), or values (N, D).
    ``counts`` (R, N): how often each image is counted; None: each once, R = 1.
    ``top1``, ``map`` and ``r2`` are in percent, ``mae`` is in the unit of the values; of several
    values per image both are the mean. NaN where a metric is not defined: no label has a positive,
    or the values do not vary.
    """
    counts = torch.ones(1, len(targets)) if counts is None else counts
    if kind == "class":
        return {"top1": 100 * _mean((predicted == targets)[:, None], counts)[:, 0]}
    if kind == "multilabel":
        return {"map": 100 * mean_average_precision(predicted, targets, counts)}
    error = predicted.double() - targets.double()
    centred = targets.double() - targets.double().mean(0)  # or squares of large values cancel
    spread = _mean(centred.square(), counts) - _mean(centred, counts).square()
    explained = 1 - _mean(error.square(), counts) / torch.where(
        spread > 1e-12 * spread.max(), spread, torch.nan
    )
    return {"r2": 100 * explained.mean(1), "mae": _mean(error.abs(), counts).mean(1)}


def balanced_accuracy(predicted: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Average over classes the share of their images that are told rightly: (R,) float64 in 0..1.

    ``predicted``, ``targets`` (N,), ``counts`` (R, N). Guessing reaches 1 / classes however uneven
    they are. A class that a resample holds no image of is left out of that resample.
    """
    found = []
    for label in targets.unique():
        of = targets == label
        drawn = counts[:, of].double()
        found.append((drawn * (predicted[of] == label)).sum(1) / drawn.sum(1))
    return torch.stack(found).nanmean(0)


def mean_average_precision(scores: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Average the precision over the labels that have a positive: (R,) float64 in 0..1.

    ``scores`` (N, L), ``targets`` (N, L) bool, ``counts`` (R, N). Written here and not taken from a
    library because bounds are a bootstrap over counts.
    """
    found = []
    for score, positive in zip(scores.T, targets.T, strict=True):
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
    """Yield the counts (r, images) float32 of ``count`` bootstrap resamples, some at a time.

    They are the same on every machine.
    """
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
    """Return (low, high), the middle ``level`` of a resampled metric (R,).

    Values that are not defined are left out.
    """
    values = values[values.isfinite()].double()
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = values.quantile(ends).tolist() if len(values) else (float("nan"),) * 2
    return low, high


def rows_of(
    predicted: Tensor, targets: Tensor, *, kind: Kind, name: str, model: str, data: str
) -> list[Row]:
    """Make rows with bounds of predictions for N test images.

    ``{name}_top1`` of classes (N,), ``{name}_map`` of yes/no labels (N, L), ``{name}_r2`` and
    ``{name}_mae`` of values (N, D).
    """
    predicted, targets, n = predicted.cpu(), targets.cpu(), len(targets)
    if kind == "class":
        return [accuracy_row(predicted, targets, model=model, data=data, metric=f"{name}_top1")]
    value = metrics_of(predicted, targets, kind=kind)
    drawn = [metrics_of(predicted, targets, kind=kind, counts=counts) for counts in resamples(n)]
    rows = []
    for metric, point in value.items():
        low, high = bounds(torch.cat([some[metric] for some in drawn]))
        rows.append(
            Row(
                model=model,
                data=data,
                metric=f"{name}_{metric}",
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
