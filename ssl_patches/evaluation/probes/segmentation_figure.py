"""Draw what segmentation probes predict, beside images and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_patches.config.pictures import free_place, save_picture

UNLABELLED = (0.0, 0.0, 0.0)


def draw_segmentation(
    path: Path,
    *,
    images: Tensor,
    truth: Tensor,
    predicted: Mapping[str, Tensor],
    classes: Sequence[str],
) -> Path:
    """Draw a row per image: the image, its mask, and the prediction of each probe.

    ``images`` uint8 (N, C, H, H); ``truth`` (N, H', W') with -1 = unlabelled, which is black;
    ``predicted``: title -> classes (N, H', W'). The file is returned, as ``save_figure`` does.
    """
    from matplotlib.patches import Patch

    figure, panels = picture_grid(
        len(images), 2 + len(predicted), ("image", "truth", *predicted), legend=True
    )
    colours = _class_colours(len(classes))
    pictures = for_matplotlib(images)
    for row, image, *masks in zip(panels, pictures, truth, *predicted.values(), strict=True):
        row[0].imshow(image.numpy())
        for axes, mask in zip(row[1:], masks, strict=True):
            axes.imshow(colours[mask.long()].numpy(), interpolation="nearest")
    handles = [
        Patch(color=tuple(colours[at].tolist()), label=name.replace("_", " "))
        for at, name in enumerate(classes)
    ]
    handles += [Patch(color=UNLABELLED, label="unlabelled")] if (truth < 0).any() else []
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=7, frameon=False)
    return save_figure(figure, path, "Segmentation with a frozen encoder")


def for_matplotlib(images: Tensor) -> Tensor:
    """Turn uint8 (N, C, H, W) into (N, H, W, 3) in 0..1 for matplotlib.

    One channel is repeated, more than three are cut.
    """
    images = images.float().div(255)
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
    return images.permute(0, 2, 3, 1)


def picture_grid(
    rows: int, columns: int, titles: Sequence[str], *, legend: bool = False
) -> tuple[Any, Any]:
    """Make a matplotlib figure and its panels (rows, columns) without axes; a title per column."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(
        figsize=(2.4 * columns, 2.4 * rows + 0.6 + 0.5 * legend), dpi=110, layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=9)
    return figure, panels


def save_figure(figure: Any, path: Path, title: str) -> Path:
    """Write a matplotlib figure under a title and return the file.

    Another name is taken where ``path`` is a picture of somebody else.
    """
    figure.suptitle(title, fontsize=10)
    save_picture(figure, place := free_place(path))
    return place


def _class_colours(count: int) -> Tensor:
    """(count + 1, 3) distinct colours; the last, which id -1 picks, is that of unlabelled
    pixels."""
    from matplotlib import colormaps

    wheel = [colormaps["tab20"](at % 20)[:3] for at in (*range(0, 20, 2), *range(1, 20, 2))]
    return torch.tensor([wheel[at % 20] for at in range(count)] + [UNLABELLED])
