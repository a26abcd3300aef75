"""Hold a study as it is asked for: its axes and their values, its budget, what is tuned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssl_patches.studies.space import Tuned


@dataclass(frozen=True)
class Value:
    """One value of an axis: its label, and the overrides that it stands for."""

    label: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Tuning:
    """Which overrides are tried for each combination of axes but ``seed``, at which share of the
    budget.

    ``trials``: those of the grid. Where Optuna chooses there are none, and ``space`` is what it
    chooses from: ``count`` trials, or as many as fit into ``flops``; ``prune``: ends early what
    lags behind.
    """

    trials: tuple[Value, ...]
    share: float
    seed: int
    space: tuple[Tuned, ...] = ()
    count: int | None = None
    flops: float | None = None
    prune: bool = True


@dataclass(frozen=True)
class Design:
    """A study as it is asked for. ``budget``: (key, amount), None where the overrides say it."""

    name: str
    base: tuple[str, ...]
    axes: Mapping[str, tuple[Value, ...]]
    budget: tuple[str, float] | None = None
    supervised: bool = False
    tuning: Tuning | None = None
    without: tuple[Mapping[str, str], ...] = ()  # axis -> label; what fits all of one is left out

    def combinations(self, *, but: str | None = None) -> Iterator[dict[str, Value]]:
        """Yield each combination, axis -> value, in the order of the file, the last axis changing
        fastest. ``but``: an axis that is not used."""
        axes = {key: values for key, values in self.axes.items() if key != but}
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            labels = {key: value.label for key, value in chosen.items()}
            if not any(left_out.items() <= labels.items() for left_out in self.without):
                yield chosen
