"""Specify the charts of the page for Vega-Lite; None where the runs hold nothing to be drawn."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Any

import altair as alt

from ssl_patches.evaluation.rows import TRAINED
from ssl_patches.studies.compare.comparison import LAYER, Comparison, estimate_metric
from ssl_patches.studies.compare.report import material
from ssl_patches.studies.compare.report.vega import (
    SHORT,
    bound_columns,
    choice,
    colour,
    data,
    specification,
    tips,
    x,
    y,
)
from ssl_patches.studies.compare.statistics import higher_is_better, pareto_front

COSTS = {"TFLOP": ("flops", 1e12), "seconds": ("seconds", 1.0), "images": ("images", 1.0)}
CLASSES = 30  # of a chart; those that entries differ in most
UNIT = "% (or the metric's own unit)"
Spec = dict[str, Any] | None


def results(comparison: Comparison) -> Spec:
    """Draw every entry with its interval and its single seeds, one metric at a time."""
    rows, dots = [], []
    for order, entry in enumerate(comparison.entries):
        for metric in comparison.metrics:
            if (found := estimate_metric(entry, metric)) and (sample := entry.sample(metric)):
                common = {"entry": entry.name, "metric": metric, "order": order}
                rows.append({**common, **bound_columns(found)})
                dots += [
                    {**common, "value": value} for value in sample.values if len(sample.values) > 1
                ]
    if not rows:
        return None
    chosen, is_metric = choice("metric", comparison.metrics)
    line = alt.Y(
        "entry:N",
        sort=alt.SortField("order"),
        title=None,
        axis=alt.Axis(labelLimit=140, grid=False, labelOverlap=False),
    )
    shade = colour(comparison, legend=False)
    tip = tips("entry", "interval", mean=".2f", low=".2f", high=".2f")
    base, single = (alt.Chart(data(of)).transform_filter(is_metric) for of in (rows, dots))
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=x("low", UNIT), x2="high:Q", y=line, color=shade),
        single.mark_tick(thickness=2, size=13).encode(
            x=x("value", UNIT), y=line, color=alt.value("var(--ink)")
        ),
        base.mark_point(filled=True, size=90, opacity=1).encode(
            x=x("mean", UNIT), y=line, color=shade, tooltip=tip
        ),
    ]
    return specification(alt.layer(*(layers if dots else layers[::2])), chosen, height=alt.Step(28))


def pareto(comparison: Comparison) -> Spec:
    """Draw accuracy against what it cost; the front is a line, floors are dashed: they cost
    nothing."""
    rows = [
        row
        for metric in comparison.metrics
        for cost in COSTS
        for row in _priced(comparison, metric, cost)
    ]
    floors = [
        {
            "entry": entry.name,
            "metric": metric,
            "mean": value.mean,
            "below": order % 2,
        }  # two floors may be one line
        for order, entry in enumerate(comparison.floors)
        for metric in comparison.metrics
        if (value := estimate_metric(entry, metric))
    ]
    if not rows:
        return None
    metric, is_metric = choice("metric", comparison.metrics)
    cost, is_cost = choice("cost", list(COSTS), radio=True)
    across, shade = x("spent", "cost of a run", zero=True, labelExpr=SHORT), colour(comparison)
    tip = tips(
        "entry", "interval", "front", "cost", mean=".2f", low=".2f", high=".2f", spent=",.4~r"
    )
    shape = alt.Shape(
        "front:N",
        legend=None,
        scale=alt.Scale(domain=["yes", "no"], range=["circle", "triangle-up"]),
    )
    base = alt.Chart(data(rows)).transform_filter(is_metric).transform_filter(is_cost)
    floor = (
        alt.Chart(data(floors))
        .transform_filter(is_metric)
        .encode(y=y("mean", UNIT), color=alt.value("var(--muted)"))
    )
    layers = [
        floor.mark_rule(strokeDash=[4, 4]).encode(tooltip=tips("entry", mean=".2f")),
        floor.mark_text(align="left", dx=2, dy=alt.expr("datum.below ? 9 : -8")).encode(
            x=alt.value(0), text="entry:N"
        ),
        base.transform_filter("datum.front === 'yes'")
        .mark_line(opacity=0.5)
        .encode(x=across, y=y("mean", UNIT), order="spent:Q", color=alt.value("var(--ink)")),
        base.mark_rule(opacity=0.6).encode(x=across, y=y("low", UNIT), y2="high:Q", color=shade),
        base.mark_point(filled=True, size=150, opacity=1).encode(
            x=across, y=y("mean", UNIT), color=shade, shape=shape, tooltip=tip
        ),
    ]
    return specification(alt.layer(*(layers if floors else layers[2:])), metric, cost, height=340)


def _priced(comparison: Comparison, metric: str, cost: str) -> list[dict[str, Any]]:
    """Make a row per entry: what a run cost, what it reached, whether it is on its front.

    The front is that of its protocol.
    """
    key, unit = COSTS[cost]
    rows = []
    for mark in sorted({entry.mark for entry in comparison.trained}):
        found = [
            (entry, value)
            for entry in comparison.trained
            if entry.mark == mark and (value := estimate_metric(entry, metric))
        ]
        points = [(entry.spent(key) / unit, value.mean) for entry, value in found]
        front = pareto_front(points, higher=higher_is_better(metric))
        for (entry, value), (spent, _), on in zip(found, points, front, strict=True):
            common = {"entry": entry.name, "metric": metric, "cost": cost, "spent": spent}
            rows.append({**common, **bound_columns(value), "front": "yes" if on else "no"})
    return rows


def curves(comparison: Comparison) -> Spec:
    """Draw metrics.csv of every run, a line per seed."""
    rows = material.curve_rows(comparison.trained)
    if not rows:
        return None
    measure, is_measure = choice("measure", list(dict.fromkeys(row["measure"] for row in rows)))
    against = alt.param(
        name="against",
        value="images",
        bind=alt.binding_radio(options=["images", "TFLOP", "seconds"], name="against"),
    )
    chart = (
        alt.Chart(data(rows))
        .transform_filter(is_measure)
        .transform_calculate(spent="datum[against]")
    )
    tip = tips("entry", "seed", "measure", value=".4~g", images=",", TFLOP=".3~g", seconds=",.0f")
    chart = chart.mark_line(strokeWidth=1.5, opacity=0.85).encode(
        x=x("spent", None, labelExpr=SHORT),
        y=y("value", None),
        color=colour(comparison),
        detail="seed:N",
        tooltip=tip,
    )
    return specification(chart, measure, against, height=320)


def health(comparison: Comparison) -> Spec:
    """Draw what is measured without labels against what the probes say, a point per run."""
    rows = [
        {
            "entry": entry.name,
            "seed": run.seed,
            "measure": measure,
            "metric": metric,
            "last": value,
            "probed": row["value"],
        }
        for entry in comparison.trained
        for run in entry.runs
        for measure, value in material.label_free(run).items()
        for metric in comparison.metrics[:6]
        if (row := run.value(TRAINED, metric))
    ]
    if not rows:
        return None
    names = dict.fromkeys(row["measure"] for row in rows)
    measure, is_measure = choice(
        "measure", sorted(names, key=lambda name: "rank" not in name)
    )  # RankMe first, where there is one
    metric, is_metric = choice("metric", list(dict.fromkeys(row["metric"] for row in rows)))
    chart = alt.Chart(data(rows)).transform_filter(is_measure).transform_filter(is_metric)
    chart = chart.mark_point(filled=True, size=90, opacity=0.9).encode(
        x=x("last", "measured without labels, last value"),
        y=y("probed", UNIT),
        color=colour(comparison),
        tooltip=tips("entry", "seed", "measure", "metric", last=".4~g", probed=".2f"),
    )
    return specification(chart, measure, metric, height=320)


def per_class(comparison: Comparison) -> Spec:
    """Draw percent right in each class, on average over runs."""
    found: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for entry in comparison.trained:
        for run in entry.runs:
            for metric, classes in material.class_rows(run).items():
                for name, value in classes.items():
                    found[metric, entry.name, name].append(value)
    if not found:
        return None
    means, of_class = {key: fmean(values) for key, values in found.items()}, defaultdict(list)
    for (metric, _, name), mean in means.items():
        of_class[metric, name].append(mean)
    spread: defaultdict[str, float] = defaultdict(float)
    for (_, name), values in of_class.items():
        spread[name] = max(spread[name], max(values) - min(values))
    kept = set(sorted(spread, key=spread.__getitem__, reverse=True)[:CLASSES])
    keys = ("metric", "entry", "class")
    rows = [
        {**dict(zip(keys, key, strict=True)), "right": round(mean, 2)}
        for key, mean in means.items()
        if key[2] in kept
    ]
    chosen, is_metric = choice(
        "metric",
        [name for name in comparison.metrics if any(row["metric"] == name for row in rows)],
    )
    chart = (
        alt.Chart(data(rows))
        .transform_filter(is_metric)
        .mark_point(filled=True, size=100, opacity=0.9)
    )
    chart = chart.encode(
        x=x("right", "% right"),
        y=alt.Y("class:N", title=None, axis=alt.Axis(labelLimit=110, labelOverlap=False)),
        color=colour(comparison),
        tooltip=tips("entry", "class", right=".1f"),
    )
    return specification(chart, chosen, height=alt.Step(22))


def per_layer(comparison: Comparison) -> Spec:
    """Draw probes of single layers: metrics with ``layerN`` in their name."""
    rows = [
        {
            "probe": LAYER.sub("", metric),
            "layer": int(number),
            "entry": entry.name,
            **bound_columns(value),
        }
        for entry in comparison.entries
        for metric in comparison.layers
        for number in LAYER.findall(metric)[:1]
        if (value := estimate_metric(entry, metric))
    ]
    if not rows:
        return None
    probe, is_probe = choice("probe", list(dict.fromkeys(row["probe"] for row in rows)))
    base = alt.Chart(data(rows)).transform_filter(is_probe)
    across, shade = alt.X("layer:O", axis=alt.Axis(labelAngle=0)), colour(comparison)
    tip = tips("entry", "interval", layer="d", mean=".2f", low=".2f", high=".2f")
    layers = (
        base.mark_rule(opacity=0.5).encode(x=across, y=y("low", UNIT), y2="high:Q", color=shade),
        base.mark_line(point=alt.OverlayMarkDef(size=60)).encode(
            x=across, y=y("mean", UNIT), color=shade, tooltip=tip
        ),
    )
    return specification(alt.layer(*layers), probe, height=300)
