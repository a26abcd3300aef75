"""Draw what a training step sees: images as loaded, views, and tiles where they were cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.sampler import PatchSampler
from ssl_patches.training.figures.page import Column, displayed, save_page
from ssl_patches.training.figures.task import PAPER
from ssl_patches.types import PatchBatch, Views

ROWS = 8  # of a page, or all views of one image
PIXELS = 256  # side of a view in the figure, at least: smaller ones are enlarged by a whole number


@torch.no_grad()
def draw_tiles(
    path: Path,
    *,
    images: Tensor,
    views: nn.Module,
    samplers: Mapping[str, PatchSampler],
    title: str,
) -> None:
    """Draw images, their views and their tiles, with modules in the mode that they are in.

    ``images`` (N, C, H, W) uint8.
    """
    seen = views(images)
    seen = seen.images if isinstance(seen, Views) else seen
    each = len(seen) // len(images)  # several views of each, of as many images as a page holds
    images = images.repeat_interleave(each, 0)[: max(each, ROWS // each * each)]
    seen = seen[: len(images)]
    columns = [
        Column("image, as loaded", displayed(images)),
        Column("view", displayed(seen).clamp(0, 1)),
    ]
    for name, sampler in samplers.items():
        grid, cut = sampler.grid, sampler(seen)
        shape = (
            f"{grid.rows} x {grid.cols}" if cut.tiles.shape[1] == grid.cells else len(cut.tiles[0])
        )
        title_of = f"{name}: {shape} tiles of {cut.tiles.shape[-1]} px"
        columns.append(Column(title_of, laid_at_boxes(cut, sampler)))
    save_page(path, columns, title)


def laid_at_boxes(patches: PatchBatch, sampler: PatchSampler) -> Tensor:
    """Lay each tile at its box in the view, enlarged; what no tile shows is grey paper.

    ``patches`` of N views -> (N, 3, H, W) in 0..1. Tiles that touch are parted by a thin line,
    drawn over their lower and right edges.
    """
    tiles = displayed(sampler.denormalise(patches.tiles.float()).clamp(0, 1))
    height, width = patches.size
    scale = max(1, -(-PIXELS // max(height, width)))
    canvas = torch.full((len(tiles), 3, height * scale, width * scale), PAPER)
    line = canvas.shape[-1] // 128 if sampler.grid.dense else 0
    corners = torch.cat(
        [patches.boxes[..., :2], patches.boxes[..., :2] + patches.boxes[..., 2:]], -1
    )
    for image, places in enumerate((corners * scale).round().long().tolist()):
        for tile, (top, left, bottom, right) in zip(tiles[image], places, strict=True):
            shown = F.interpolate(tile[None], (bottom - top, right - left))[0]
            canvas[image, :, top : bottom - line, left : right - line] = shown[
                :, : bottom - top - line, : right - left - line
            ]
    return canvas
