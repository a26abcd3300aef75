"""Draw the health panel of one run or several: what was logged, over the images seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_patches.training.rows import HELD_OUT, TRAIN, Rows, of_split
from ssl_patches.types import ACCURACY, accuracies

PANELS = {
    "loss": "pretext loss",
    ACCURACY: "pretext accuracy, %",
    "effective_rank": "effective rank",
    "deviation": "deviation per dimension",
    "mean_cosine": "cosine between images",
    "alignment": "alignment (lower: views agree)",
    "uniformity": "uniformity (lower: spread out)",
    "gradient_norm": "gradient norm",
}
"""Panel -> its title."""


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
        elif key == "gradient_norm" or (key == "loss" and _wide(axis)):
            axis.set_yscale("log")
    figure.suptitle(title, fontsize=11)
    _legend(figure, found, runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return True


def _wide(axis: Any) -> bool:
    """Does one line dwarf the others? On a linear axis a loss that has exploded hides all that did
    not."""
    values = [value for line in axis.lines for value in line.get_ydata()]
    return min(values, default=0) > 0 and max(values) > 10 * min(values)


def _lines(axis: Any, key: str, rows: list[dict[str, float]], *, colour: str) -> None:
    images, scale = [row["images"] for row in rows], 100 if key == ACCURACY else 1
    if key in ("loss", ACCURACY):
        for before, style in (
            (HELD_OUT, {"marker": "o"}),
            (TRAIN, {"linewidth": 0.8, "linestyle": "--", "marker": "x"}),
        ):
            for column in (
                name for name in rows[0] if name.startswith(before) and name.endswith(key)
            ):  # some tasks ask twice
                axis.plot(
                    images,
                    [scale * row[column] for row in rows],
                    color=colour,
                    markersize=3,
                    **style,
                )
        for metric in accuracies(of_split(rows[-1], HELD_OUT)) if key == ACCURACY else ():
            if metric.chance is not None:
                axis.axhline(100 * metric.chance, color=colour, linewidth=0.8, linestyle=":")
    elif key in rows[0]:
        axis.plot(images, [row[key] for row in rows], color=colour, marker="o", markersize=3)


def _legend(figure: Any, found: Mapping[str, Any], runs: Mapping[str, Path]) -> None:
    from matplotlib.lines import Line2D

    entries = []
    for place, name in enumerate(found):
        file = runs[name] / "alarms.json"
        alarms = (
            [alarm["name"] for alarm in json.loads(file.read_text(encoding="utf-8"))]
            if file.exists()
            else []
        )
        said = f"alarms: {', '.join(alarms)}" if alarms else "no alarm"
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
