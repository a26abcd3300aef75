"""Lay small images out as a page: a column per kind of picture, a row per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import torch
from torch import Tensor

from ssl_patches.config.pictures import save_picture

FRAME = {True: (0.11, 0.62, 0.35), False: (0.85, 0.16, 0.12)}
"""Green: right. Red: wrong."""
QUIET = (0.3, 0.3, 0.3)  # frame of what is not asked about
INCHES = 2.2  # side of an image


@dataclass(frozen=True)
class Arrow:
    """An arrow from (y, x) to (y, x) in pixels of the image."""

    start: tuple[float, float]
    end: tuple[float, float]
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Column:
    """A column of a page.

    ``images`` (N, 3, H, W) float in 0..1. ``arrows`` and ``notes``: one list of arrows, one text,
    per image.
    """

    title: str
    images: Tensor
    arrows: Sequence[Sequence[Arrow]] = ()
    notes: Sequence[str] = ()


def displayed(images: Tensor) -> Tensor:
    """Turn images into what can be shown: one channel is repeated, more than three are cut.

    ``images`` (..., C, H, W) uint8 or in 0..1 -> (..., 3, H, W) float in 0..1 on the CPU.
    """
    images = images.cpu()
    images = images.float().div(255) if images.dtype == torch.uint8 else images.float()
    channels = images.shape[-3]
    return (
        images.expand(*images.shape[:-3], 3, *images.shape[-2:])
        if channels == 1
        else images[..., :3, :, :]
    )


def framed(images: Tensor, right: Sequence[bool | None]) -> Tensor:
    """Frame images: green for True, red for False, white for None.

    ``images`` (N, 3, H, W) -> the same, a little larger.
    """
    side = max(1, images.shape[-1] // 16)
    colours = torch.tensor([(1.0, 1.0, 1.0) if value is None else FRAME[value] for value in right])
    height, width = images.shape[-2:]
    page = colours[:, :, None, None].repeat(1, 1, height + 2 * side, width + 2 * side)
    page[:, :, side : side + height, side : side + width] = images
    return page


def save_page(path: Path, columns: Sequence[Column], title: str) -> None:
    """Write a page to ``path``, without a display."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    rows = len(columns[0].images)
    figure = Figure(
        figsize=(INCHES * len(columns), INCHES * rows + 0.7), dpi=110, layout="constrained"
    )
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for place, column in enumerate(columns):
        for row in range(rows):
            axis = axes[row][place]
            axis.imshow(column.images[row].permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set_axis_off()
            if column.notes:
                axis.text(
                    0.5,
                    -0.02,
                    column.notes[row],
                    transform=axis.transAxes,
                    ha="center",
                    va="top",
                    fontsize=8,
                )
            for arrow in column.arrows[row] if column.arrows else ():
                _draw(axis, arrow)
        axes[0][place].set_title(fill(column.title, width=int(14 * INCHES)), fontsize=9)
    figure.suptitle(fill(title, width=int(12 * INCHES * len(columns))), fontsize=10)
    save_picture(figure, path)


def _draw(axis: Any, arrow: Arrow) -> None:
    """With a white rim: visible on any picture."""
    from matplotlib.patheffects import withStroke

    shape = {
        "arrowstyle": "-|>",
        "color": arrow.colour,
        "linewidth": 2.6,
        "mutation_scale": 13,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    shape["path_effects"] = [withStroke(linewidth=5.5, foreground="white")]
    axis.annotate("", xy=arrow.end[::-1], xytext=arrow.start[::-1], arrowprops=shape)
