"""Specify the charts of tuning with Optuna; None where no study at hand has a search."""

from __future__ import annotations

from typing import Any

import altair as alt

from ssl_patches.studies.compare.comparison import Comparison
from ssl_patches.studies.compare.report import material
from ssl_patches.studies.compare.report.vega import choice, data, specification, tips, x, y

HELD_OUT = "% of held-out training images"


def search_history(comparison: Comparison) -> dict[str, Any] | None:
    """Draw what each trial of a search reached, and the best whole one so far."""
    rows = []
    for search in material.searches(comparison.places):
        best: float | None = None
        for trial in search["trials"]:
            if trial["state"] == "complete" and trial["value"] is not None:
                best = trial["value"] if best is None else max(best, trial["value"])
            rows.append({"search": search["name"], **trial, "best": best})
    if not any(row["value"] is not None for row in rows):
        return None
    chosen, is_chosen = choice("search", list(dict.fromkeys(row["search"] for row in rows)))
    base = alt.Chart(data(rows)).transform_filter(is_chosen)
    across = alt.X("number:O", title="trial", axis=alt.Axis(labelAngle=0))
    shape = alt.Shape(
        "state:N",
        legend=None,
        scale=alt.Scale(domain=["complete", "pruned"], range=["circle", "triangle-up"]),
    )
    layers = (
        base.transform_filter("datum.best !== null")
        .mark_line(interpolate="step-after", opacity=0.6)
        .encode(x=across, y=y("best", HELD_OUT), color=alt.value("var(--ink)")),
        base.transform_filter("datum.value !== null")
        .mark_point(filled=True, size=100, opacity=1)
        .encode(
            x=across,
            y=y("value", HELD_OUT),
            shape=shape,
            color=alt.value("var(--c0)"),
            tooltip=tips("label", "state", number="d", value=".2f"),
        ),
    )
    return specification(alt.layer(*layers), chosen, height=300)


def setting_importances(comparison: Comparison) -> dict[str, Any] | None:
    """Draw how much each tuned setting of a search explains."""
    rows = [
        {"search": search["name"], "setting": setting, "share": share}
        for search in material.searches(comparison.places)
        for setting, share in search["importances"].items()
    ]
    if not rows:
        return None
    chosen, is_chosen = choice("search", list(dict.fromkeys(row["search"] for row in rows)))
    chart = alt.Chart(data(rows)).transform_filter(is_chosen).mark_bar()
    chart = chart.encode(
        x=x("share", "share of the differences", zero=True),
        y=alt.Y("setting:N", sort="-x", title=None, axis=alt.Axis(labelLimit=200, grid=False)),
        color=alt.value("var(--c0)"),
        tooltip=tips("setting", share=".2f"),
    )
    return specification(chart, chosen, height=alt.Step(26))
