"""Figures of the roles: a curve or a picture where a number alone says little. One function, one
file on disk.

Curves and bars are drawn from result rows, one colour per model with its 95 % bounds; pictures from
images, masks and what an encoder makes of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from patch_roles.invariance import CHANGES
from ssl_patches.evaluation.probes.segmentation_figure import (
    for_matplotlib,
    picture_grid,
    save_figure,
)
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS, TRAINED, Row

COLOURS = {TRAINED: "#1f5fa8", RANDOM_INIT: "#9a9a9a", RAW_PIXELS: "#c98a2b"}
OTHERS = ("#7a4fa3", "#2b8a5f", "#b5442e")


def draw_tiles(path: Path, rows: Sequence[Row]) -> None:
    """Accuracy against the number of tiles averaged and against the size of one tile."""
    figure, (left, right) = _panels(2)
    _curve(left, rows, r"tiles(\d+)_knn\d+_top1")
    left.set_xscale("log")
    left.set_xticks([1, 4, 9, 16], ["1", "4", "9", "16"])
    left.minorticks_off()
    left.set_xlabel("tiles averaged (side: half the image)")
    _curve(right, rows, r"scale(\d+)_knn\d+_top1")
    right.set(xlabel="side of one central tile, % of the image")
    _finish(
        figure,
        path,
        (left, right),
        "kNN accuracy, %",
        "What tiles alone tell, and what averaging them adds",
    )


def draw_sizes(path: Path, rows: Sequence[Row]) -> None:
    """Accuracy against the input size; FLOPs and speed against the number of tokens."""
    figure, panels = _panels(3)
    token = {(row.model, _number(row)): row.value for row in rows if row.metric.endswith("_tokens")}
    has_accuracy = _curve(panels[0], rows, r"input(\d+)_knn\d+_top1")
    panels[0].set(xlabel="input size, px", ylabel="kNN accuracy, %")
    if not has_accuracy:
        panels[0].text(
            0.5, 0.5, "no labels", transform=panels[0].transAxes, ha="center", color="0.5"
        )
    for panel, metric, label in (
        (panels[1], "mflops", "MFLOPs per image, forward"),
        (panels[2], "images_per_cpu_second", "images per CPU second"),
    ):
        _curve(panel, rows, rf"input(\d+)_{metric}", x=lambda row: token[row.model, _number(row)])
        panel.set(xlabel="tokens per image", ylabel=label, ylim=(0, None))
    _finish(figure, path, panels, None, "One encoder at several input sizes")


def draw_invariance(path: Path, rows: Sequence[Row]) -> None:
    """Per change the mean cosine with the unchanged image, and beside them that with another image,
    as a line too."""
    figure, (axes,) = _panels(1, width=7.0)
    rows = [row for row in rows if row.metric.startswith("cosine_")]
    models, names = list(dict.fromkeys(row.model for row in rows)), (*CHANGES, "other")
    for at, model in enumerate(models):
        found = {row.metric.removeprefix("cosine_"): row for row in rows if row.model == model}
        line, colour = [found[name] for name in names], _colour(model, at)
        places = [place + 0.16 * (at - (len(models) - 1) / 2) for place in range(len(names))]
        bounds = [[row.value - row.low for row in line], [row.high - row.value for row in line]]
        axes.errorbar(
            places,
            [row.value for row in line],
            yerr=bounds,
            fmt="o",
            capsize=3,
            color=colour,
            label=model,
        )
        axes.axhline(found["other"].value, color=colour, linestyle="--", linewidth=1)
    axes.set_xticks(range(len(names)), [*CHANGES, "another\nimage"])
    _finish(
        figure,
        path,
        (axes,),
        "mean cosine, %",
        "How far features survive a change of the picture: above the line is nearer",
    )


def draw_attention(path: Path, *, images: Tensor, attention: Tensor, objects: Tensor) -> None:
    """uint8 (N, C, H, H), attention (N, h, w), objects (N, H', W') bool: the image, and the
    attention over it, outlined."""
    figure, panels = picture_grid(
        len(images), 2, ("image, objects outlined", "attention of the last block")
    )
    for (left, right), image, weights, inside in zip(
        panels, for_matplotlib(images), attention, objects, strict=True
    ):
        height, width = image.shape[:2]
        outline = F.interpolate(inside[None, None].float(), size=(height, width), mode="nearest")[
            0, 0
        ].numpy()
        heat = F.interpolate(weights[None, None], size=(height, width), mode="nearest")[
            0, 0
        ].numpy()
        left.imshow(image.numpy())
        right.imshow(heat, cmap="magma", vmin=0)
        for axes in (left, right):
            axes.contour(outline, levels=[0.5], colors=["#35e07a"], linewidths=1.2)
    save_figure(figure, path, "Where the encoder looks (bright: more attention)")


def _curve(axes: Any, rows: Iterable[Row], pattern: str, x: Any = None) -> bool:
    """A line with bounds per model, of the rows whose metric is ``pattern``; False when there is
    none."""
    x = x or _number
    found = [row for row in rows if re.fullmatch(pattern, row.metric)]
    for at, model in enumerate(dict.fromkeys(row.model for row in found)):
        line = sorted((row for row in found if row.model == model), key=x)
        places, colour = [x(row) for row in line], _colour(model, at)
        axes.plot(
            places, [row.value for row in line], marker="o", markersize=4, color=colour, label=model
        )
        axes.fill_between(
            places,
            [row.low for row in line],
            [row.high for row in line],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
        axes.set_xticks(places, [f"{place:g}" for place in places])
    return bool(found)


def _number(row: Row) -> int:
    return int(re.search(r"\d+", row.metric)[0])


def _colour(model: str, at: int) -> str:
    return COLOURS.get(model, OTHERS[at % len(OTHERS)])


def _panels(count: int, width: float = 4.0) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(width * count, 3.4), dpi=110, layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _finish(figure: Any, path: Path, panels: Iterable[Any], ylabel: str | None, title: str) -> None:
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
        if ylabel is not None:
            axes.set_ylabel(ylabel)
    save_figure(figure, path, title)
