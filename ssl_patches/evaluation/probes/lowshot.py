"""Draw few labelled images several times, for the linear probe of low-shot learning.

1, 5, 10, 50 images per class, and 1 % and 10 % of each class; five draws of each, the same for
every encoder. The row is the mean over draws with the t-interval of that mean.

The traps: (a) one draw strays by several points, so a single low-shot metric says little; (b) the
interval covers the draw of the *training* images, the test images being the same in all five, so it
must not be compared with Wilson's; (c) with one image per class nothing can be held out, and the
strength is the middle of the grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.probes.linear import shuffled
from ssl_patches.evaluation.rows import Row
from ssl_patches.types import Metric


def draws_per_class(labels: Tensor, counts: Mapping[int, int], *, draws: int) -> Iterator[Tensor]:
    """Draw ``counts[class]`` images of each class ``draws`` times; yields sorted indices.

    ``labels`` (M,); all images of a class that has fewer.
    """
    for seed in range(draws):
        order = shuffled(len(labels), seed=seed)
        members = [order[labels[order] == label][:count] for label, count in counts.items()]
        yield torch.cat(members).sort().values


def draws_of_share(images: int, share: float, *, draws: int) -> Iterator[Tensor]:
    """Draw a share of all images, two at least, ``draws`` times; yields sorted indices (M,)."""
    for seed in range(draws):
        yield shuffled(images, seed=seed)[: max(2, round(share * images))].sort().values


def samples(
    labels: Tensor, *, kind: Kind, per_class: Sequence[int], shares: Sequence[float], draws: int
) -> dict[str, list[Tensor]]:
    """Draw the images of ``lowshot5``, ``lowshot10pct``, ...: name -> indices of each draw.

    ``labels`` (M, ...). Per class for classes only; what would be all of train is left out.
    """
    names = {share: f"lowshot{100 * share:g}pct" for share in shares}
    if kind != "class":
        return {
            name: list(draws_of_share(len(labels), share, draws=draws))
            for share, name in names.items()
        }
    found, sizes_of = labels.unique(return_counts=True)
    sizes: dict[int, int] = dict(zip(found.tolist(), sizes_of.tolist(), strict=True))
    wanted = {f"lowshot{count}": dict.fromkeys(sizes, count) for count in per_class}
    wanted |= {
        name: {label: max(1, round(share * size)) for label, size in sizes.items()}
        for share, name in names.items()
    }
    return {
        name: list(draws_per_class(labels, counts, draws=draws))
        for name, counts in wanted.items()
        if any(count < sizes[label] for label, count in counts.items())
    }


def mean_row(
    values: Sequence[float], *, model: str, data: str, metric: str, n: int, level: float = 0.95
) -> Row:
    """Make the row of the mean of ``values``, one per draw, with its t-interval.

    Metrics with limits (accuracy in percent) stay within them.
    """
    found = torch.tensor(values, dtype=torch.float64)
    mean, draws = found.mean().item(), len(values)
    from scipy.special import stdtrit  # here: scipy.stats takes two CPU seconds, of every run

    half = float(stdtrit(draws - 1, 0.5 + level / 2)) * found.std().item() / draws**0.5
    low, high = mean - half, mean + half
    if (limits := Metric.named(metric, mean).limits) is not None:
        low, high = max(limits[0], low), min(limits[1], high)
    return Row(model=model, data=data, metric=metric, value=mean, low=low, high=high, n=n)
