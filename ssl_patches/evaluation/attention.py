"""Read where a vision transformer looks.

The attention of the last block, averaged over heads, from the class token where there is one and
otherwise from the mean patch query, which is what a mean-pooled feature listens to.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attends(model: Any) -> bool:
    """Tell whether a model is a ViT of timm's, whose attention can be read."""
    blocks = getattr(model, "blocks", None)
    return isinstance(blocks, nn.Sequential) and hasattr(
        getattr(blocks[-1], "attn", None), "attn_drop"
    )


@torch.no_grad()
def last_attention(model: Any, images: Tensor) -> Tensor:
    """Return the attention (B, h, w) over the patch grid, each image's summing to 1.

    ``images`` (B, C, H, W) normalised. The model is as before afterwards. ValueError for what has
    no attention to show.
    """
    if not attends(model):
        raise ValueError(f"model: {type(model).__name__} has no attention to show; name a ViT")
    layer = model.blocks[-1].attn
    seen: list[Tensor] = []
    fused = layer.fused_attn
    layer.fused_attn = False  # the fused kernel never writes the weights down
    hook = layer.attn_drop.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(images)
    finally:
        hook.remove()
        layer.fused_attn = fused
    heads, prefix = seen[0].float().mean(1), model.num_prefix_tokens  # (B, queries, keys)
    query = (
        heads[:, 0] if getattr(model, "cls_token", None) is not None else heads[:, prefix:].mean(1)
    )
    height, width = model.patch_embed.patch_size
    grid = images.shape[2] // height, images.shape[3] // width
    return F.normalize(query[:, prefix:], p=1, dim=1).unflatten(1, grid)
