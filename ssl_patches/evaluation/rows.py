"""Write results as rows, each with the bounds of its number.

The bounds are Wilson's score interval (Wilson 1927; recommended by Brown, Cai and DasGupta 2001):
it stays inside 0..1, is not empty at 0 % or 100 %, and holds its level for small n, where the
textbook p +- 1.96 s does not. scipy.stats has it too, and takes two CPU seconds to load, of every
run; ``tests/evaluation/test_rows.py`` holds ours against it.

The trap: it covers the draw of the *test images* only. Another seed of pretraining moves the number
as well, often by more; that is what several runs are for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import NormalDist

from torch import Tensor

from ssl_patches.config.plain_text import Lines, aligned
from ssl_patches.types import Metric

TRAINED, RANDOM_INIT, RAW_PIXELS = "trained", "random_init", "raw_pixels"
AGAINST, DIFFERENCE = "against", "difference"
"""What a row's ``model`` says: the encoder in question and the floors beside it; of a comparison
also the other encoder, and the first less the second."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one model on ``n`` test images, with its bounds.

    ``model``: ``TRAINED``, ``RANDOM_INIT``, ``RAW_PIXELS``, ``AGAINST`` or ``DIFFERENCE``. The unit
    of ``value``, ``low`` and ``high`` is that of ``as_metric``: percent, but for errors.
    """

    model: str
    data: str
    metric: str
    value: float
    low: float
    high: float
    n: int

    def as_metric(self) -> Metric[float]:
        """Return the number with how it is read: its unit, and whether more is better."""
        return Metric.named(self.metric, self.value)

    def as_dict(self) -> dict[str, str | float | int]:
        """Return the seven columns of every result table, in their order."""
        return asdict(self)


def wilson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval (low, high) in 0..1 of the share ``correct`` out of ``n``.

    ValueError for no draws, and for a level that is none.
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"correct={correct}, n={n}: must be 0 <= correct <= n with n at least 1; count them"
            " again"
        )
    if not 0 < level < 1:
        raise ValueError(f"level={level}: must lie between 0 and 1; set level=0.95")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, shrunk = correct / n, 1 / (1 + z * z / n)
    centre = (share + z * z / (2 * n)) * shrunk
    half = z * shrunk * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - half if correct else 0.0), (centre + half if correct < n else 1.0)


def accuracy_row(predicted: Tensor, labels: Tensor, *, model: str, data: str, metric: str) -> Row:
    """Return the share of N images whose ``predicted`` (N,) int64 is their label, in percent.

    ValueError where ``predicted`` and ``labels`` differ in shape.
    """
    if predicted.shape != labels.shape:
        raise ValueError(
            f"predicted {tuple(predicted.shape)}, labels {tuple(labels.shape)}: must agree; pass"
            " one per image"
        )
    correct, n = int((predicted.cpu() == labels.cpu()).sum()), labels.numel()
    low, high = wilson(correct, n)
    return Row(
        model=model,
        data=data,
        metric=metric,
        value=100 * correct / n,
        low=100 * low,
        high=100 * high,
        n=n,
    )


def table(rows: Iterable[Row]) -> Lines:
    """Lay rows out as aligned text: a line per metric and data, a column per model."""
    rows = list(rows)
    models = list(dict.fromkeys(row.model for row in rows))
    lines: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row.metric, row.data, row.n), {})[row.model] = with_bounds(
            row.metric, row.value, row.low, row.high
        )
    text = [["metric", *models, "data", "n"]]
    text += [
        [metric, *(cells.get(m, "-") for m in models), data, str(n)]
        for (metric, data, n), cells in lines.items()
    ]
    return aligned(text)


def with_bounds(metric: str, value: float, low: float, high: float) -> str:
    """Write ``37.7 [36.7, 38.7]``; errors, in the unit of the labels, with four digits."""
    digits = ".4g" if Metric.named(metric, value).unit == "own" else ".1f"
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"
