"""Write report.html: a template, a style sheet, a script, and what they show. Everything that a
user named is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from ssl_patches.config.run_dir import CONFIG
from ssl_patches.evaluation.rows import RAW_PIXELS, TRAINED
from ssl_patches.studies.compare.comparison import Comparison, estimate_metric
from ssl_patches.studies.compare.entries import Entry
from ssl_patches.studies.compare.report import charts, material, tuning_charts
from ssl_patches.studies.compare.report.vega import colours
from ssl_patches.studies.compare.runs import FinishedRun
from ssl_patches.studies.compare.table import legend, lies_in

HERE = Path(__file__).parent
CHARTS: dict[str, tuple[str, str, Callable[[Comparison], dict[str, Any] | None]]] = {
    "results": (
        "Results",
        (
            "Dots are means, bars 95 % intervals (over seeds where there are several), small ticks"
            " single seeds."
        ),
        charts.results,
    ),
    "pareto": (
        "Accuracy against cost",
        (
            "Circles on the line are the Pareto front of the means: nothing is both cheaper and"
            " better. It carries no test. Cost is that of one run, heads and decoders included;"
            " floors are dashed."
        ),
        charts.pareto,
    ),
    "curves": (
        "Learning curves",
        (
            "Batches of the training stream, a line per seed. Losses of different tasks are on"
            " different scales and say nothing about each other; an accuracy is to be read beside"
            " its chance level."
        ),
        charts.curves,
    ),
    "layers": (
        "Layer by layer",
        "Probes of single layers of the frozen encoder.",
        charts.per_layer,
    ),
    "classes": (
        "Class by class",
        (
            "Percent of the test images of a class that were right, on average over seeds; at most"
            f" {charts.CLASSES} classes, those that the lines differ in most."
        ),
        charts.per_class,
    ),
    "health": (
        "Measures without labels against probes",
        (
            "A dot is a run. Would the measure have picked the encoder that the probe prefers?"
            " Within a task and across tasks are two questions."
        ),
        charts.health,
    ),
    "tuning": (
        "Tuning, trial by trial",
        (
            "Accuracy on held-out training images, of no use beside the results above. The line is"
            " the best whole trial so far; triangles were ended early and show what they had then;"
            " what diverged has no mark."
        ),
        tuning_charts.search_history,
    ),
    "importances": (
        "How much each tuned setting mattered",
        (
            "The share of the differences between trials that a setting explains (fANOVA), at the"
            " first rung where some were ended early. Few trials say little: read it as a hint."
        ),
        tuning_charts.setting_importances,
    ),
}


def page(comparison: Comparison) -> str:
    """Return the whole page as text."""
    specs = {name: spec for name, (_, _, draw) in CHARTS.items() if (spec := draw(comparison))}
    shown = [{"id": name, "title": CHARTS[name][0], "about": CHARTS[name][1]} for name in specs]
    pictures = material.figures(comparison.trained)
    findings = _findings(comparison, comparison.ranked_by) if comparison.ranked_by else []
    others = [
        block
        for metric in comparison.metrics
        if metric != comparison.ranked_by
        for block in _findings(comparison, metric)
    ]
    contents = [
        ("findings", "Findings"),
        ("leaderboard", "Leaderboard"),
        *((chart["id"], chart["title"]) for chart in shown),
    ]
    contents += [
        *([("figures", "Tasks at work")] if pictures else []),
        ("runs", "Runs"),
        ("left-out", "Left out"),
    ]
    names = [place.resolve().name for place in comparison.places]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=f"Pretext tasks compared: {', '.join(names)}",
            about=_about(comparison),
            contents=contents if findings or comparison.notes else contents[1:],
            notes=comparison.notes,
            ranked_by=comparison.ranked_by,
            findings=findings,
            other_findings=others,
            legend=legend(comparison),
            board=_board(comparison),
            charts=shown,
            figures=pictures,
            runs=[_run(entry, run) for entry in comparison.trained for run in entry.runs],
            left_out=comparison.left_out,
            places=", ".join(map(str, comparison.places)),
            environment=_versions(comparison),
            specs=specs,
            style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
            script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
            vega=Markup(_vega()),
        )
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in one script, as vl-convert ships them."""
    # type ignored: its stub says that the snippet has no default, its docstring names one
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return bundle.replace("</script", "<\\/script")


def _about(comparison: Comparison) -> str:
    data = ", ".join(dict.fromkeys(run.data for run in comparison.runs))
    seeds = sorted({len(entry.seeds) for entry in comparison.trained})
    return (
        f"{len(comparison.runs)} runs on {data}, {len(comparison.trained)} lines of"
        f" {' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])} each;"
        f" {len(comparison.left_out)} left out"
    )


def _findings(comparison: Comparison, metric: str) -> list[dict[str, Any]]:
    blocks = {
        "": comparison.pairs(metric),
        " against the floors": comparison.against_floors(metric),
    }
    return [
        {"title": f"{metric}{title}", "pairs": pairs} for title, pairs in blocks.items() if pairs
    ]


def _board(comparison: Comparison) -> dict[str, Any]:
    numbers = ["seeds", *comparison.metrics, "images", "TFLOP", "seconds", "images/s"]
    titles = [("", False), *((name, True) for name in numbers), ("lies in", False)]
    shade = colours(comparison.entries)
    lines = []
    for entry in comparison.entries:
        fields = [
            {"text": entry.name, "sort": None},
            _cell(len(entry.seeds)) if entry.model != RAW_PIXELS else _cell(None),
        ]
        for metric in comparison.metrics:
            found = estimate_metric(entry, metric)
            fields.append({"text": str(found or "-"), "sort": "" if found is None else found.mean})
        fields += _spent(entry)
        lines.append(
            {"cells": fields, "floor": entry.model != TRAINED, "colour": shade[entry.name]}
        )
    return {
        "columns": [{"title": title or "line", "number": number} for title, number in titles],
        "lines": lines,
    }


def _spent(entry: Entry) -> list[dict[str, Any]]:
    if entry.model != TRAINED:
        return [*[_cell(None)] * 4, {"text": "-", "sort": None}]
    speed = sum(run.images_per_second for run in entry.runs) / len(entry.runs)
    numbers = [entry.spent("images"), entry.spent("flops") / 1e12, entry.spent("seconds"), speed]
    return [*map(_cell, numbers), {"text": lies_in(entry.runs), "sort": None}]


def _cell(number: float | None) -> dict[str, Any]:
    if number is None:
        return {"text": "-", "sort": ""}
    return {
        "text": f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}",
        "sort": number,
    }


def _run(entry: Entry, run: FinishedRun) -> dict[str, Any]:
    used = run.used
    return {
        "entry": entry.name,
        "seed": run.seed,
        "path": str(run.path),
        "config": str(run.path / CONFIG),
        "command": run.command,
        "used": (
            f"{used['images']:,.0f} images, {used['flops'] / 1e12:.3g} TFLOP,"
            f" {used['seconds']:,.0f} s"
        ),
        "data": run.data,
        "fingerprint": run.fingerprint[:16],
    }


def _versions(comparison: Comparison) -> list[tuple[str, str, int]]:
    found = Counter(
        (name, str(version)) for run in comparison.runs for name, version in run.versions.items()
    )
    return [(name, version, count) for (name, version), count in found.items()]
