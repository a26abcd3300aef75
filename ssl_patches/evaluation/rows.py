"""A result is a row, and a row carries the bounds of its number.

The bounds are Wilson's score interval (Wilson 1927; recommended by Brown, Cai and DasGupta 2001):
it stays inside
0..1, is not empty at 0 % or 100 %, and holds its level for small n, where the textbook p +- 1.96 s does not.

The trap: it covers the draw of the *test images* only. Another seed of pretraining moves the number
as well, often by more; that is what several runs are for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

from torch import Tensor

TRAINED, RANDOM_INIT, RAW_PIXELS = "trained", "random_init", "raw_pixels"
AGAINST, DIFFERENCE = "against", "difference"
"""What a row's ``model`` says: the encoder in question and the floors beside it; of a comparison
also the other encoder, and the first less the second."""


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one model on one set of test images; ``value``, ``low``, ``high`` in percent,
    but for ``_mae``."""

    model: (
        str  # "trained", "random_init" or "raw_pixels"; "against" and "difference" of a comparison
    )
    data: str
    metric: str
    value: float
    low: float
    high: float
    n: int  # test images

    def as_dict(self) -> dict[str, str | float | int]:
        """The seven columns of every result table, in their order."""
        return asdict(self)


def wilson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """(low, high) in 0..1 of the share that ``correct`` out of ``n`` is an estimate of. ValueError
    for no draws."""
    if not 0 <= correct <= n or n < 1:
        raise ValueError(
            f"correct={correct}, n={n}: must be 0 <= correct <= n with n at least 1; count them"
            " again"
        )
    if not 0 < level < 1:
        raise ValueError(f"level={level}: must lie between 0 and 1; set level=0.95")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, grown = correct / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / grown
    half = z / grown * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = (
        0.0 if correct == 0 else centre - half
    )  # exact at the ends, where rounding would leave 1e-17
    return low, 1.0 if correct == n else centre + half


def accuracy_row(predicted: Tensor, labels: Tensor, *, model: str, data: str, metric: str) -> Row:
    """``predicted`` and ``labels`` (N,) int64 -> the share that agrees, in percent."""
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


def table(rows: Iterable[Row]) -> str:
    """Rows as aligned text: a line per metric and data, a column per model, ``37.7 [36.7, 38.7]``
    in percent."""
    rows = list(rows)
    models = list(dict.fromkeys(row.model for row in rows))
    lines: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row.metric, row.data, row.n), {})[row.model] = shown(
            row.metric, row.value, row.low, row.high
        )
    text = [["metric", *models, "data", "n"]]
    text += [
        [metric, *(cells.get(m, "-") for m in models), data, str(n)]
        for (metric, data, n), cells in lines.items()
    ]
    return aligned(text)


def shown(metric: str, value: float, low: float, high: float) -> str:
    """``37.7 [36.7, 38.7]``; errors, which are in the unit of the labels, with four digits wherever
    the point is."""
    digits = ".4g" if metric.endswith("_mae") else ".1f"
    return f"{value:{digits}} [{low:{digits}}, {high:{digits}}]"


def aligned(text: Sequence[Sequence[str]]) -> str:
    """Cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in text
    )
