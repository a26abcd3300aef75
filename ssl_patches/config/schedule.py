"""Say how large the learning rate is at each point of a run, as a share of its peak.

Each schedule is a function of the share of the budget that is used, and of nothing else, so a
resumed or longer run needs no scheduler state.
"""

from __future__ import annotations

import math


def warmup_cosine(progress: float, warmup: float) -> float:
    """Return the share of the peak rate, 0..1: a linear rise, then half a cosine to zero.

    ``progress``: share of the budget that is used, 0..1. ``warmup``: share in which the rate rises.
    Source: Loshchilov & Hutter 2017; Goyal et al. 2017.
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def warmup_stable_decay(progress: float, warmup: float, cooldown: float) -> float:
    """Return the share of the peak rate, 0..1: a linear rise, the peak, and a fall at the end.

    Between the two the rate does not depend on the budget, so that copies of one run can be cooled
    down at several budgets. ``progress``: share of the budget that is used, 0..1. ``warmup``,
    ``cooldown``: shares in which the rate rises and falls. The fall is one minus a square root,
    which Hägele et al. 2024 found to be the best of those that they tried.
    """
    if progress < warmup:
        return progress / warmup
    fallen = (progress - (1 - cooldown)) / cooldown
    return 1 - math.sqrt(min(1.0, max(0.0, fallen)))
