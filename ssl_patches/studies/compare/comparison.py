"""Compare runs: read, grouped and tested. Every rendering (terminal, Markdown, page, logger) is
made from this."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import BadRequest, nearest
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.evaluation.rows import TRAINED
from ssl_patches.studies.compare.entries import Entry, entries_of, metric_names
from ssl_patches.studies.compare.runs import FinishedRun, OmittedRun, find_runs
from ssl_patches.studies.compare.same_images import on_images
from ssl_patches.studies.compare.statistics import (
    Contrast,
    all_pairs,
    family,
    higher_is_better,
    t_interval,
)

PREFERRED = ("linear_top1", "knn20_top1", "finetune_top1", "miou_linear", "miou_knn")
"""What a table is ranked by when nothing is asked for, and what the terminal has room for: the
first that there are."""
LAYER = re.compile(r"_?layer_?(\d+)")


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one entry. ``over``: what the bounds cover, "seeds", "images" (one seed only)
    or nothing."""

    mean: float
    low: float | None
    high: float | None
    over: str
    n: int  # seeds

    def __str__(self) -> str:
        if self.over == "seeds":
            return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"
        return (
            f"{self.mean:.1f} ({self.low:.1f}, {self.high:.1f})"
            if self.over
            else f"{self.mean:.1f}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """``ranked_by``: the metric that orders the entries; None where no run has results."""

    places: tuple[Path, ...]
    runs: list[FinishedRun]
    left_out: list[OmittedRun]
    entries: list[Entry]  # best first, the floors after them
    metrics: list[str]  # of whole encoders; those of single layers are in ``layers``
    layers: list[str]
    ranked_by: str | None
    notes: list[str]

    @property
    def trained(self) -> list[Entry]:
        """Return the entries of trained encoders."""
        return [entry for entry in self.entries if entry.model == TRAINED]

    @property
    def floors(self) -> list[Entry]:
        """Return the entries of the floors."""
        return [entry for entry in self.entries if entry.model != TRAINED]

    def pairs(self, metric: str) -> list[Contrast]:
        """Compare every two trained entries of one protocol, with Holm's correction over all."""
        found: list[Contrast] = []
        for mark in sorted({entry.mark for entry in self.trained}):
            samples = [entry.sample(metric) for entry in self.trained if entry.mark == mark]
            pairs = all_pairs([sample for sample in samples if sample], metric=metric)
            named = {entry.name: entry for entry in self.trained if entry.mark == mark}
            found += [_with_images(pair, named[pair.first], named[pair.second]) for pair in pairs]
        return found

    def against_floors(self, metric: str) -> list[Contrast]:
        """Compare every trained entry with the floors of its own encoder and protocol: a family of
        its own."""
        pairs, named = [], []
        for entry in self.trained:
            for floor in self.floors:
                ours = (
                    floor.encoder in ("-", entry.encoder)
                    and floor.mark == entry.mark
                    and _shares(entry, floor)
                )
                first, second = entry.sample(metric), floor.sample(metric)
                if ours and first and second:
                    pairs.append((first, second))
                    named.append({entry.name: entry, floor.name: floor})
        return [
            _with_images(pair, held[pair.first], held[pair.second])
            for pair, held in zip(family(pairs, metric=metric), named, strict=True)
        ]


def _with_images(pair: Contrast, first: Entry, second: Entry) -> Contrast:
    """Add what the test images say where seeds say nothing."""
    if pair.p_holm is not None or 1 not in pair.n:
        return pair
    return replace(pair, images=on_images(pair.metric, first, second))


def compare_runs(
    places: Sequence[Path], *, metric: str | None = None, mixed: bool = False
) -> Comparison:
    """Compare all runs at or below ``places``.

    Raises ValueError: no finished run there, a metric that none has, or runs of different data or
    evaluation
    unless ``mixed``, which marks them.
    """
    runs, left_out = find_runs(places)
    if not runs:
        told = [f"  {lost.path}: {lost.reason}" for lost in left_out[:20]]
        raise BadRequest(
            [
                f"compare {' '.join(map(str, places))}: no finished run below; "
                f"name a run_dir with {SUMMARY}, or a folder of them",
                *told,
            ]
        )
    known = metric_names(runs)
    if metric is not None and metric not in known:
        raise ValueError(
            f"--metric {metric}: no run has it;"
            f" {nearest(metric, known, otherwise='the runs have no results')}"
        )
    entries, notes = entries_of(runs, mixed=mixed)
    ranked_by = metric or next((name for name in (*PREFERRED, *known) if name in known), None)
    return Comparison(
        places=tuple(places),
        runs=runs,
        left_out=left_out,
        entries=_ranked(entries, ranked_by),
        metrics=_first([name for name in known if not LAYER.search(name)], ranked_by),
        layers=[name for name in known if LAYER.search(name)],
        ranked_by=ranked_by,
        notes=notes,
    )


def estimate_metric(entry: Entry, metric: str) -> Estimate | None:
    """Estimate a metric over seeds where there are two; with one seed the bounds over its test
    images, and ``over`` says so."""
    if (sample := entry.sample(metric)) is None:
        return None
    if len(sample.values) > 1:
        mean, low, high = t_interval(sample.values)
        return Estimate(mean, low, high, "seeds", len(sample.values))
    row = next(row for run in entry.runs if (row := run.value(entry.model, metric)))
    return Estimate(sample.mean, row["low"], row["high"], "images", 0 if sample.fixed else 1)


def _ranked(entries: Sequence[Entry], metric: str | None) -> list[Entry]:
    def key(entry: Entry) -> tuple[Any, ...]:
        sample = entry.sample(metric) if metric else None
        value = sample.mean if sample else float("-inf")
        return (
            entry.model != TRAINED,
            sample is None,
            -value if higher_is_better(metric or "") else value,
            entry.name,
        )

    return sorted(entries, key=key)


def _first(metrics: Sequence[str], ranked_by: str | None) -> list[str]:
    """Order metrics: the one ranked by, the usual ones, then the rest as the runs have them."""
    order = [*([ranked_by] if ranked_by else []), *PREFERRED, *metrics]
    return [name for name in dict.fromkeys(order) if name in metrics]


def _shares(entry: Entry, floor: Entry) -> bool:
    """Do they come from the same runs? An encoder of another depth has its own floor."""
    return bool({run.path for run in entry.runs} & {run.path for run in floor.runs})
