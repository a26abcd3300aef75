"""Draw a metric over the number of labels: a panel per column, a line per model, a log axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_patches.evaluation.efficiency.advice import PER, SCRATCH, named
from ssl_patches.evaluation.efficiency.curve import Curve, interval
from ssl_patches.evaluation.probes.segmentation_figure import save_figure
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS

PANELS = {
    "linear": ("frozen, linear", ("linear",)),
    "knn": ("frozen, nearest neighbours", ("knn",)),
    "finetune": ("fine-tuned", ("finetune", "scratch")),
}
AXIS = {
    "top1": "accuracy, %",
    "balanced": "balanced accuracy, %",
    "map": "mean average precision, %",
    "r2": "variance explained, %",
}
OURS = "#c1272d"
OTHERS = ("#0b5fa5", "#2a8f5a", "#8a5fb0", "#c98200", "#5f6a72")
PLAIN = {RANDOM_INIT: ("#808080", "--"), RAW_PIXELS: ("#a8a8a8", ":")}


def draw_curves(path: Path, curves: Sequence[Curve], *, ours: str, label: str, title: str) -> Path:
    """Draw the curves with their intervals and return the file, as ``save_figure`` does.

    ``ours``: the model in question, called ``label``. ``title``: of the figure.
    """
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    panels = [
        (head, some)
        for head, columns in PANELS.values()
        if (some := [curve for curve in curves if curve.column in columns])
    ]
    figure = Figure(figsize=(4.6 * len(panels) + 0.4, 4.9), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    styles = _styles(curves, ours)
    shown = {}
    for panel, (head, some) in zip(axes, panels, strict=True):
        for curve in some:
            name = label if curve.model == ours else named(curve)
            shown[name] = _line(panel, curve, name, *styles[curve.model, curve.column])
        panel.set_title(head, fontsize=10)
        _axis(panel, some)
    axes[0].set_ylabel(AXIS.get(curves[0].metric, "mean IoU, %"))
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    return save_figure(figure, path, title)


def _styles(curves: Sequence[Curve], ours: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Choose colour and line of each model and column: ours red, floors grey, others in turn."""
    rivals = dict.fromkeys(
        curve.model for curve in curves if curve.model not in (ours, RANDOM_INIT, RAW_PIXELS)
    )
    colours = {model: OTHERS[at % len(OTHERS)] for at, model in enumerate(rivals)}
    found = {}
    for curve in curves:
        plain = PLAIN.get(curve.model, (colours.get(curve.model, OURS), "-"))
        found[curve.model, curve.column] = ("black", "-.") if named(curve) == SCRATCH else plain
    return found


def _line(panel: Any, curve: Curve, name: str, colour: str, style: str) -> Any:
    """Draw one curve with its interval as bars; returns the line for the legend."""
    at = [point.size for point in curve.points]
    found = [interval(point, metric=curve.metric) for point in curve.points]
    width = 2.4 if colour == OURS else 1.5
    (line,) = panel.plot(
        at, [mean for mean, _, _ in found], style, color=colour, lw=width, marker="o", ms=3.5
    )
    panel.fill_between(
        at,
        [low for _, low, _ in found],
        [high for _, _, high in found],
        color=colour,
        alpha=0.13,
        lw=0,
    )
    return line


def _axis(panel: Any, curves: Sequence[Curve]) -> None:
    """Name the numbers of labels on a log axis, the last one as all."""
    from matplotlib.ticker import NullLocator

    points = {point.name: point.size for curve in curves for point in curve.points}
    panel.set_xscale("log")
    panel.xaxis.set_minor_locator(NullLocator())
    names = {"all": f"all\n({points['all']:.0f})"} if "all" in points else {}
    panel.set_xticks(list(points.values()), [names.get(name, name) for name in points], fontsize=8)
    panel.set_xlabel(PER.get(curves[0].metric, "labelled images"))
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
