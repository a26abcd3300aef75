"""What tasks put behind the encoder, a light transformer or a projection: trained with it and never exported."""

from __future__ import annotations

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn


class Decoder(nn.Module):
    """dim -> width, ``depth`` blocks, norm, -> out, initialised as facebookresearch/mae does. No positions of its own.

    ``width`` None: ``usual_width``; ``heads`` None: one for each 64 of the width.
    """

    def __init__(self, *, dim: int, width: int | None, depth: int, heads: int | None, out: int) -> None:
        super().__init__()
        width = usual_width(dim) if width is None else width
        heads = max(1, width // 64) if heads is None else heads
        if depth < 0 or heads < 1 or width < 1 or width % heads or width % 4:
            raise ValueError(
                f"task.width={width}, task.heads={heads}, task.depth={depth}: width must be a multiple of heads and of 4, "
                f"and depth 0 or more; set task.width={max(heads, 1) * 64}, or leave width and heads out"
            )
        self.width = width
        self.enter = nn.Linear(dim, width)
        norm = partial(nn.LayerNorm, eps=1e-6)
        blocks = [Block(width, heads, mlp_ratio=4, qkv_bias=True, norm_layer=norm) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.leave = norm(width), nn.Linear(width, out)
        self.apply(initialise)

    def forward(self, tokens: Tensor, prefix: Tensor) -> Tensor:
        """``tokens`` (B, K, dim), ``prefix`` (B, P, dim) -> (B, K, out)."""
        entered = self.enter(torch.cat([prefix, tokens], 1))
        return self.finish(entered)[:, prefix.shape[1] :]

    def finish(self, entered: Tensor) -> Tensor:
        """(B, n, width) -> (B, n, out): all after the entrance."""
        return self.leave(self.norm(self.blocks(entered)))


class Projection(nn.Module):
    """dim -> width for each tile by itself, behind the encoder: the papers' fc6 (Noroozi & Favaro; Doersch et al.).

    Without it the last layer of the encoder *is* what the pretext head compares, and frozen features pay for that, as
    they do without the projection head of contrastive methods (Chen et al. 2020, arXiv:2002.05709).
    """

    def __init__(self, *, dim: int, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"task.projection={width}: at least 1 unit; set task.projection=512")
        self.linear, self.norm = nn.Linear(dim, width, bias=False), nn.BatchNorm1d(width)

    def forward(self, tiles: Tensor) -> Tensor:
        """(B, K, dim) -> (B, K, width)."""
        return self.norm(self.linear(tiles).flatten(0, 1)).relu().unflatten(0, tiles.shape[:2])


def usual_width(dim: int) -> int:
    """As wide as the encoder, in heads of 64, and 512 at most (He et al. 2022 use 512 behind 768 and 1024)."""
    return min(512, max(64, 64 * round(dim / 64)))


def initialise(module: nn.Module) -> None:
    """Xavier for linear maps, zero biases (He et al. 2022)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
