"""Draw the health panel of one run or several: what was logged, over the images seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.outside import read_json
from ssl_patches.config.pictures import save_picture
from ssl_patches.training.callbacks.alarms import PATIENCE_IMAGES
from ssl_patches.training.rows import HELD_OUT, TRAIN, Rows, of_split
from ssl_patches.types import ACCURACY, Metric, measured

PANELS = {
    "loss": "pretext loss",
    ACCURACY: "pretext accuracy, %",
    "effective_rank": "effective rank: directions in use",
    "deviation": "deviation: do images differ?",
    "mean_cosine": "cosine between images (1: all alike)",
    "alignment": "alignment (lower: views agree)",
    "uniformity": "uniformity (lower: features spread)",
    "gradient_norm": "gradient norm",
}
"""Panel -> its title."""
OF_THE_TASK = ("loss", ACCURACY)
"""Panels of what the task reports; the others are columns of health.csv."""
STYLES: dict[str, dict[str, Any]] = {
    HELD_OUT: {"marker": "o"},
    TRAIN: {"linewidth": 0.8, "linestyle": "--", "marker": "x"},
}


def draw_health(path: Path, runs: Mapping[str, Path], *, title: str) -> bool:
    """Draw the panel and say whether there was a check to draw.

    ``runs``: name -> run directory. Held-out lines are drawn through, those of training thin.
    """
    from matplotlib.figure import Figure

    found = {name: rows for name, run in runs.items() if (rows := Rows(run / "health.csv").read())}
    if not found:
        return False
    figure = Figure(figsize=(13, 6.2), dpi=110, layout="constrained")
    for (key, name), axis in zip(PANELS.items(), figure.subplots(2, 4).flat, strict=True):
        for place, rows in enumerate(found.values()):
            _lines(axis, key, rows, colour=f"C{place}")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("images seen", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.03)
        if not axis.lines:
            axis.set_axis_off()
            axis.text(
                0.5,
                0.5,
                f"{name}:\nnone in this task",
                ha="center",
                va="center",
                fontsize=9,
                color="0.5",
            )
            axis.set_title("")
            continue
        _values_of_lone_dots(axis)
        if key == "gradient_norm" or (key == "loss" and _wide(axis)):
            axis.set_yscale("log")
    figure.suptitle(title, fontsize=11)
    _legend(figure, found, runs)
    save_picture(figure, path)
    return True


def _values_of_lone_dots(axis: Any) -> None:
    """Write the value beside a dot that is alone in its panel: of a run with one check."""
    for line in axis.lines:
        x, y = line.get_xdata(), line.get_ydata()
        if len(x) == 1 and line.get_marker() not in ("", "None", None):
            offset = {"xytext": (6, 4), "textcoords": "offset points"}
            axis.annotate(f"{y[0]:.3g}", (x[0], y[0]), fontsize=8, color="0.3", **offset)


def _wide(axis: Any) -> bool:
    """Tell whether one line dwarfs the others.

    On a linear axis a loss that has exploded hides all that did not.
    """
    values = [value for line in axis.lines for value in line.get_ydata()]
    return min(values, default=0) > 0 and max(values) > 10 * min(values)


def _lines(axis: Any, key: str, rows: list[dict[str, float]], *, colour: str) -> None:
    images = [row["images"] for row in rows]
    if key not in OF_THE_TASK:
        if key in rows[0]:
            axis.plot(images, [row[key] for row in rows], color=colour, marker="o", markersize=3)
        return
    for split, style in STYLES.items():
        for metrics in zip(*(_asked(row, split, key) for row in rows), strict=True):
            scale = 100 if metrics[0].unit == "share" else 1
            values = [scale * metric.value for metric in metrics]
            axis.plot(images, values, color=colour, markersize=3, **style)
            if split == HELD_OUT and (chance := metrics[-1].chance) is not None:
                axis.axhline(scale * chance, color=colour, linewidth=0.8, linestyle=":")


def _asked(row: dict[str, float], split: str, key: str) -> list[Metric[float]]:
    """Return what a task reports of one split, losses or accuracies; some tasks ask twice."""
    found = measured(of_split(row, split))
    if key == ACCURACY:
        return [metric for metric in found if metric.unit == "share"]
    return [metric for metric in found if metric.unit == "own" and not metric.higher_is_better]


def said_of(alarms: Sequence[str], *, images: float) -> str:
    """Say which alarms a run has; a short one is not said to be free of what comes later."""
    if alarms:
        return f"alarms: {', '.join(alarms)}"
    if images < PATIENCE_IMAGES:
        return f"no alarm so far; learning is judged from {PATIENCE_IMAGES:,} images on"
    return "no alarm"


def _legend(figure: Any, found: Mapping[str, Any], runs: Mapping[str, Path]) -> None:
    from matplotlib.lines import Line2D

    entries = []
    for place, (name, rows) in enumerate(found.items()):
        file = runs[name] / "alarms.json"
        alarms = [alarm["name"] for alarm in read_json(file)] if file.exists() else []
        said = said_of(alarms, images=rows[-1]["images"])
        entries.append(
            Line2D([], [], color=f"C{place}", marker="o", markersize=3, label=f"{name} ({said})")
        )
    entries += [
        Line2D([], [], color="0.4", marker="o", markersize=3, label="held-out images"),
        Line2D(
            [],
            [],
            color="0.4",
            linewidth=0.8,
            linestyle="--",
            marker="x",
            markersize=3,
            label="training",
        ),
        Line2D([], [], color="0.4", linewidth=0.8, linestyle=":", label="chance"),
    ]
    figure.legend(
        handles=entries,
        loc="outside lower center",
        ncols=min(4, len(entries)),
        fontsize=9,
        frameon=False,
    )
