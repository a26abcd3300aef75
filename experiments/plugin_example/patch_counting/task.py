"""How many of each visual primitive? (Learning to count, Noroozi, Pirsiavash & Favaro, ICCV 2017.)

What is counted in the tiles of an image adds up to what is counted in all of them together: the
tiles, laid side by side and made as small as one of them, are one more tile. Counting nothing would
satisfy that, so the tiles of another image must *not* add up to it, by a margin (the paper's
contrastive term). No place is asked for and no label is there.

Trap: the small picture differs from tiles by its resolution, which tells nothing here, because it
is never compared as such; the counts of tiles are.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.types import PatchBatch, PatchGrid, TaskOutput


class Counting(PretextTask):
    """``counts``: how many primitives; ``margin``: by which another image's counts must differ (10
    in the paper)."""

    def __init__(
        self, *, dim: int, grid: PatchGrid, counts: int = 64, margin: float = 10.0
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if grid.rows != grid.cols:
            raise ValueError(
                f"sampler.rows={grid.rows}, sampler.cols={grid.cols}: must be equal; set"
                f" sampler.cols={grid.rows}"
            )
        if not margin > 0:
            raise ValueError(
                f"task.margin={margin}: must be above 0, or counting nothing is best; set"
                " task.margin=10"
            )
        self.margin = margin
        self.count = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, counts), nn.Softplus()
        )

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        together = shrunk(patches.tiles, self.grid)[:, None]  # (B, 1, C, h, h)
        every = replace(
            patches,
            tiles=torch.cat([patches.tiles, together], 1),
            boxes=torch.cat([patches.boxes, patches.boxes[:, :1]], 1),  # alone() looks at none
            placed=torch.cat([patches.placed, patches.placed[:, :1]], 1),
        )
        counts = self.count(encoder.alone(every).tiles)  # (B, K + 1, counts)
        whole, parts = counts[:, -1], counts[:, :-1].sum(1)
        same = (whole - parts).square().sum(1)
        other = (whole - parts.roll(1, 0)).square().sum(1)  # the image before it in the batch
        loss = same.mean() + F.relu(self.margin - other).mean()
        return TaskOutput(loss, {"same": same.detach().mean(), "other": other.detach().mean()})


def shrunk(tiles: Tensor, grid: PatchGrid) -> Tensor:
    """(B, K, C, h, h) in raster order -> (B, C, h, h): all tiles side by side, as small as one
    (antialiased)."""
    count, _, channels, side, _ = tiles.shape
    laid = tiles.view(count, grid.rows, grid.cols, channels, side, side).permute(0, 3, 1, 4, 2, 5)
    laid = laid.reshape(count, channels, grid.rows * side, grid.cols * side)
    return F.interpolate(laid, size=(side, side), mode="bilinear", antialias=True)
