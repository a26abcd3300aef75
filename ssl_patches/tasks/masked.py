"""Reconstruct hidden tiles from visible ones: masked autoencoding (MAE, He et al., CVPR 2022).

The encoder computes visible tiles only; a decoder receives their features and one learned token for
every hidden cell, with sin-cos positions, and predicts the hidden tiles' pixels, each tile
normalised by its own mean and (unbiased) deviation. The decoder decides how good *frozen* features
are: eight blocks give 8 points of linear accuracy over one (paper, Table 1), so the default is not
the cheapest. A convolutional encoder shows the visible cells on a canvas on which hidden cells stay
hidden through every layer (FCMAE, SparK); the same decoder reads one feature per cell.

``uniformity`` adds the mean squared cosine between images (U-MAE, Zhang et al., NeurIPS 2022),
which spreads frozen features on small data. ``mask``: random; block (hidden cells form a block);
inverse_block (visible cells do, CAPI 2025).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.positions import sincos_table
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.blocks import Decoder
from ssl_patches.tasks.masks import keep_count, visible_cells
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput


class Masked(PretextTask):
    """The task that hides most tiles and asks for their pixels.

    ``mask_ratio``: share of hidden tiles. Why: frozen features are best near 0.75, fine-tuning
    hardly cares (MAE, Fig. 5). ``mask``: which ones: random; block (hidden cells form a block);
    inverse_block (visible ones do). Why: random masks of 75 % give ViT-L a linear probe of 73.5,
    blocks 63.9 (MAE, Table 1). ``normalise_target``: each hidden tile by its own mean and
    deviation. Why: 85.4 for 84.9 fine-tuned (MAE, Table 1). ``uniformity``: weight of the mean
    squared cosine between images; 0.01 in U-MAE. Why: 0 is MAE itself; worth trying on small data,
    where U-MAE's linear probes are better (CIFAR-100 45.3 for 38.2, README of adondera/magma).
    ``depth``: blocks of the decoder. Why: frozen features want a deep one (linear 65.5 with 1, 71.9
    with 4, 73.5 with 8; MAE, Table 1), and it is most of the cost beside a small encoder.
    ``width``: of the decoder; None: as wide as the encoder, 512 at most. ``heads``: of the decoder;
    None: one per 64 of width.

    ValueError where a knob is out of range or the grid does not fit.
    """

    positions: Tensor

    places = True

    def __init__(
        self,
        *,
        dim: int,
        grid: PatchGrid,
        mask_ratio: float = 0.75,
        mask: Literal["random", "block", "inverse_block"] = "random",
        normalise_target: bool = True,
        uniformity: float = 0.0,
        depth: int = 4,
        width: int | None = None,
        heads: int | None = None,
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if uniformity < 0:
            raise ValueError(
                f"task.uniformity={uniformity}: a weight of 0 or more; set task.uniformity=0.01 as"
                " in U-MAE"
            )
        self.keep, self.mask = keep_count(grid.cells, mask_ratio), mask
        self.normalise_target, self.uniformity = normalise_target, uniformity
        self.decoder = Decoder(
            dim=dim, width=width, depth=depth, heads=heads, out=grid.channels * grid.tile**2
        )
        self.hidden_token = nn.Parameter(torch.empty(self.decoder.width).normal_(std=0.02))
        self.register_buffer(
            "positions", sincos_table(grid.rows, grid.cols, self.decoder.width), persistent=False
        )

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Hide most tiles of each view (B, K) and reconstruct their pixels."""
        visible, hidden = self.draw(len(patches.tiles), patches.tiles.device)
        predicted, encoded = self.reconstruct(patches, encoder, visible, hidden)
        error = F.mse_loss(predicted.float(), self.target(patches.select(hidden).tiles))
        metrics = {"reconstruction": error.detach()}
        if not self.uniformity:
            return TaskOutput(error, metrics, features=encoded)
        spread = mean_squared_cosine(encoded)
        return TaskOutput(
            error + self.uniformity * spread,
            {**metrics, "squared_cosine": spread.detach()},
            features=encoded,
        )

    def draw(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw visible (B, keep) and hidden (B, K - keep) cells."""
        rows, cols = self.grid.rows, self.grid.cols
        return visible_cells(rows, cols, batch=count, keep=self.keep, kind=self.mask, device=device)

    def reconstruct(
        self, patches: PatchBatch, encoder: Encoder, visible: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict the pixels of the hidden tiles (B, M, h * w * C), in rows, cols, channels order.

        Also returns the features of the visible ones (B, keep, dim).
        """
        encoded = encoder(patches.select(visible))
        seen = self.decoder.enter(torch.cat([encoded.prefix, encoded.tiles], 1))
        first = encoded.prefix.shape[1]
        seen = torch.cat([seen[:, :first], seen[:, first:] + self.positions[visible]], 1)
        entered = torch.cat([seen, self.hidden_token + self.positions[hidden]], 1)
        return self.decoder.finish(entered, seen.shape[1]), encoded.tiles

    def target(self, tiles: Tensor) -> Tensor:
        """Turn tiles (B, M, C, h, w) into targets (B, M, h * w * C), normalised per tile."""
        pixels = tiles.permute(0, 1, 3, 4, 2).flatten(2)
        if not self.normalise_target:
            return pixels
        variance, mean = torch.var_mean(pixels, dim=2, keepdim=True)
        return (pixels - mean) / (variance + 1e-6).sqrt()

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show what is visible, and the reconstruction with the visible tiles pasted back.

        A normalised target is undone with the true mean and deviation of each tile, as in the
        paper's figures.
        """
        visible, hidden = self.draw(len(patches.tiles), patches.tiles.device)
        predicted, _ = self.reconstruct(patches, encoder, visible, hidden)
        shown, truth = patches.select(visible).tiles, patches.select(hidden).tiles
        _, _, channels, height, width = truth.shape
        believed = predicted.float().unflatten(2, (height, width, channels)).permute(0, 1, 4, 2, 3)
        if self.normalise_target:
            variance, mean = torch.var_mean(truth, dim=(2, 3, 4), keepdim=True)
            believed = believed * (variance + 1e-6).sqrt() + mean
        return (
            Picture("visible", shown, visible),
            Picture(
                "reconstruction", torch.cat([shown, believed], 1), torch.cat([visible, hidden], 1)
            ),
        )


def mean_squared_cosine(tiles: Tensor) -> Tensor:
    """Average the squared cosine of pooled features over all pairs of images: a scalar.

    ``tiles`` (B, K, dim).
    """
    pooled = F.normalize(tiles.float().mean(1), dim=1)
    return (pooled @ pooled.mT).square().mean()
