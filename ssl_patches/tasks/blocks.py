"""Build what tasks put behind the encoder, a light transformer or a projection: trained with it,
never exported."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F


class Decoder(nn.Module):
    """A light transformer behind the encoder, initialised as facebookresearch/mae does.

    dim -> width, ``depth`` blocks, norm, -> out. No positions of its own.

    ``width`` None: ``usual_width``; ``heads`` None: one for each 64 of the width.

    ValueError where width, heads and depth do not fit.
    """

    def __init__(
        self, *, dim: int, width: int | None, depth: int, heads: int | None, out: int
    ) -> None:
        super().__init__()
        width = usual_width(dim) if width is None else width
        heads = max(1, width // 64) if heads is None else heads
        if depth < 0 or heads < 1 or width < 1 or width % heads or width % 4:
            raise ValueError(
                f"task.width={width}, task.heads={heads}, task.depth={depth}: width must be a"
                " multiple of heads and of 4, and depth 0 or more; set"
                f" task.width={max(heads, 1) * 64}, or leave width and heads out"
            )
        self.width = width
        self.enter = nn.Linear(dim, width)
        norm: Any = partial(nn.LayerNorm, eps=1e-6)  # timm calls it, and says a class
        kinds = [Block] * (depth - 1) + [LastBlock] * (depth > 0)
        blocks = [kind(width, heads, mlp_ratio=4, qkv_bias=True, norm_layer=norm) for kind in kinds]
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.leave = norm(width), nn.Linear(width, out)
        self.apply(initialise)

    def forward(self, tokens: Tensor, prefix: Tensor) -> Tensor:
        """Decode ``tokens`` (B, K, dim) with their ``prefix`` (B, P, dim) -> (B, K, out)."""
        return self.finish(self.enter(torch.cat([prefix, tokens], 1)), prefix.shape[1])

    def finish(self, entered: Tensor, first: int) -> Tensor:
        """Decode what has entered: (B, n, width) -> (B, n - first, out), tokens from ``first`` on.

        The others are only looked at by then, so the last block computes their keys and values and
        nothing else.
        """
        if not len(self.blocks):
            return self.leave(self.norm(entered[:, first:]))
        return self.leave(self.norm(self.blocks[-1](self.blocks[:-1](entered), first)))


class LastBlock(Block):
    """timm's Block, as ``Decoder`` makes it (no dropout, no layer scale), that answers for some
    tokens only, exactly.

    Saves the queries, the projection and the MLP of tokens that nobody asks for: of an MAE a
    quarter of this block. A module by itself, because FSDP gathers the parameters of what is
    called.
    """

    # another question than Block's: which tokens are asked for
    def forward(self, tokens: Tensor, first: int) -> Tensor:  # type: ignore[override]
        """Compute what Block gives for ``tokens[:, first:]``: (B, n, width) -> (B, m, width).

        m is n - first.
        """
        attention: Any = self.attn  # timm's Attention
        wanted, width = tokens[:, first:], tokens.shape[2]
        normed, weight, bias = self.norm1(tokens), attention.qkv.weight, attention.qkv.bias
        q = (
            F.linear(normed[:, first:], weight[:width], bias[:width])
            .unflatten(2, (attention.num_heads, -1))
            .transpose(1, 2)
        )
        both = F.linear(normed, weight[width:], bias[width:]).unflatten(
            2, (2, attention.num_heads, -1)
        )
        k, v = both.permute(2, 0, 3, 1, 4)
        if attention.fused_attn:
            attended = F.scaled_dot_product_attention(q, k, v)
        else:
            attended = ((q * attention.scale) @ k.mT).softmax(-1) @ v
        wanted = wanted + attention.proj(attended.transpose(1, 2).flatten(2))
        return wanted + self.mlp(self.norm2(wanted))


class Projection(nn.Module):
    """A linear map, batch norm and ReLU for each tile, behind the encoder: dim -> width.

    The papers' fc6 (Noroozi & Favaro; Doersch et al.).

    Without it the last layer of the encoder *is* what the pretext head compares, and frozen
    features pay for that, as they do without the projection head of contrastive methods (Chen et
    al. 2020, arXiv:2002.05709).

    ValueError where the width is below 1.
    """

    def __init__(self, *, dim: int, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"task.projection={width}: at least 1 unit; set task.projection=512")
        self.linear, self.norm = nn.Linear(dim, width, bias=False), nn.BatchNorm1d(width)

    def forward(self, tiles: Tensor) -> Tensor:
        """Project the feature of each tile: (B, K, dim) -> (B, K, width)."""
        return self.norm(self.linear(tiles).flatten(0, 1)).relu().unflatten(0, tiles.shape[:2])


class Projector(nn.Sequential):
    """Three linear layers with batch norms between, behind the encoder of a task that compares.

    (N, dim) -> (N, out). Depth is worth 4 to 9 points (LeJEPA, arXiv 2511.08544, table 4).

    ValueError where a layer would have no units.
    """

    def __init__(self, *, dim: int, hidden: int, out: int) -> None:
        if hidden < 1 or out < 2:
            raise ValueError(
                f"task.hidden={hidden}, task.out={out}: at least 1 hidden unit and 2 outputs; "
                "set task.hidden=512 and task.out=64"
            )
        super().__init__(
            nn.Linear(dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, out),
        )


def usual_width(dim: int) -> int:
    """Choose the width of a decoder: that of the encoder, in heads of 64, and 512 at most.

    He et al. 2022 use 512 behind 768 and 1024.
    """
    return min(512, max(64, 64 * round(dim / 64)))


def initialise(module: nn.Module) -> None:
    """Initialise linear maps by Xavier and biases by zero (He et al. 2022)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
