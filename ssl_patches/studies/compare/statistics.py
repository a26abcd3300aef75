"""Compare over seeds: mean and t-interval, Welch's test for a pair, Holm's correction over all
pairs, Pareto fronts.

The unit of evidence is the *seed*: a run repeated from its beginning. Test images are not
repetitions of a pretraining run, so an interval over them, however narrow, never decides which task
is better (Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks"). Pairs
are compared by Welch's t-test (1947), which does not assume that tasks vary equally over seeds;
p-values of one metric are adjusted together (Holm 1979), so that the chance of *any* false "better"
in a table stays below 5 %.

The trap: with one seed there is no variance, and with seeds that agree to the last digit there is
none to trust either. Both give "no statement", never a p-value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from ssl_patches.types import Metric

LEVEL = 0.95
SAME_COST = 0.01  # budgets end with a whole step: runs of one budget differ by less


@dataclass(frozen=True, slots=True)
class Sample:
    """One value per seed. ``fixed``: no seed enters (raw pixels), the one value is a known number,
    not a draw."""

    name: str
    values: tuple[float, ...]
    fixed: bool = False

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return math.fsum(self.values) / len(self.values)

    @property
    def squared_error(self) -> float:
        """Return the squared standard error of the mean, variance / n; 0 for a fixed number."""
        n = len(self.values)
        return (
            0.0
            if self.fixed
            else math.fsum((value - self.mean) ** 2 for value in self.values) / (n - 1) / n
        )


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two samples compared in one metric; ``first`` has the better mean, and ``ahead`` is by how
    much (never negative)."""

    metric: str
    first: str
    second: str
    ahead: float
    n: tuple[int, int]  # seeds; 0 for a fixed number
    low: float | None = None  # 95 % interval of ``ahead``, of this pair alone
    high: float | None = None
    p: float | None = None  # of this pair alone; None: no statement
    p_holm: float | None = None  # adjusted over all pairs of the family
    images: str = ""  # what a test over images says of two trainings of one seed

    @property
    def decided(self) -> bool:
        """Tell whether the pair differs at 5 %, corrected for all pairs of its family."""
        return self.p_holm is not None and self.p_holm < 1 - LEVEL

    @property
    def sentence(self) -> str:
        """Say the finding in plain words."""
        points = " points" if higher_is_better(self.metric) else ""
        if self.p_holm is None:
            why = "one seed" if 1 in self.n else "all seeds agree to the last digit"
            return (
                f"{self.first} and {self.second}: {why}: no statement ({self.ahead:.1f}{points}"
                f" apart){self.images and '; '}{self.images}"
            )
        n = " and ".join(map(str, dict.fromkeys(n for n in self.n if n)))
        p = "p < 0.001" if self.p_holm < 0.001 else f"p = {self.p_holm:.2g}"
        evidence = (
            f"{self.ahead:.1f} [{self.low:.1f}, {self.high:.1f}]{points}, {p} (Holm), n = {n}"
        )
        if self.decided:
            return f"{self.first} is better than {self.second} by {evidence}"
        return f"{self.first} and {self.second}: no difference seen, {evidence}"


def higher_is_better(metric: str) -> bool:
    """Tell from the name of a metric whether more of it is better."""
    return Metric.named(metric, 0.0).higher_is_better


def t_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Return mean, low and high of the t-interval over seeds. ValueError for fewer than two values:
    one has no spread."""
    if len(values) < 2:
        raise ValueError(
            f"values={list(values)}: an interval over seeds needs at least 2; run more seeds"
        )
    sample = Sample("", tuple(values))
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1)) * math.sqrt(sample.squared_error)
    return sample.mean, sample.mean - half, sample.mean + half


def welch(first: Sample, second: Sample, *, metric: str, level: float = LEVEL) -> Contrast:
    """Compare two means by Welch's t-test (1947); the better one comes first. p is None where the
    seeds allow no statement."""
    first, second = sorted(
        (first, second), key=lambda sample: sample.mean, reverse=higher_is_better(metric)
    )
    sizes = (_seeds(first), _seeds(second))
    pair = Contrast(metric, first.name, second.name, abs(first.mean - second.mean), sizes)
    drawn = [sample for sample in (first, second) if not sample.fixed]
    if not drawn or any(len(sample.values) < 2 for sample in drawn):
        return pair
    squared = math.fsum(sample.squared_error for sample in drawn)
    if squared <= (1e-12 * max(abs(first.mean), abs(second.mean))) ** 2:  # nothing but rounding
        return pair
    above, below = (first, second) if first.mean >= second.mean else (second, first)
    if len(drawn) == 2:
        found = stats.ttest_ind(above.values, below.values, equal_var=False)
    else:  # a fixed number brings neither variance nor doubt about it: the one-sample test
        apart = [a - b for a, b in itertools.product(above.values, below.values)]
        found = stats.ttest_1samp(apart, 0.0)
    low, high = map(float, found.confidence_interval(level))
    p = float(found.pvalue)
    return replace(pair, low=low, high=high, p=p, p_holm=p)


def _seeds(sample: Sample) -> int:
    return 0 if sample.fixed else len(sample.values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method (1979), in the order given: comparing each with 0.05 keeps
    the family's error rate at 5 %."""
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def family(pairs: Sequence[tuple[Sample, Sample]], *, metric: str) -> list[Contrast]:
    """Test all ``pairs`` as one family: p-values are adjusted together."""
    found = [welch(first, second, metric=metric) for first, second in pairs]
    tested = {place: pair.p for place, pair in enumerate(found) if pair.p is not None}
    for place, p in zip(tested, holm(list(tested.values())), strict=True):
        found[place] = replace(found[place], p_holm=p)
    return found


def all_pairs(samples: Sequence[Sample], *, metric: str) -> list[Contrast]:
    """Compare every sample with every other, best mean first."""
    ranked = sorted(samples, key=lambda sample: sample.mean, reverse=higher_is_better(metric))
    return family(list(itertools.combinations(ranked, 2)), metric=metric)


def pareto_front(points: Sequence[tuple[float, float]], *, higher: bool = True) -> list[bool]:
    """Mark the Pareto front of (cost, value): True where no other point is at most as costly and at
    least as good, and better in one of the two.

    Costs within ``SAME_COST`` of each other are equal. A front of means: it carries no test, so two
    points on it need not differ.
    """
    sign = 1 if higher else -1

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        cheaper, dearer = a[0] * (1 + SAME_COST) < b[0], a[0] > b[0] * (1 + SAME_COST)
        return not dearer and sign * a[1] >= sign * b[1] and (cheaper or a[1] != b[1])

    return [not any(beats(other, point) for other in points) for point in points]
