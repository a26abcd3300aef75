"""Where a ViT looks: the attention of its last block, mean over heads.

From the class token where there is one. A ViT without one has no single query that stands for the image: then the mean
over the queries of all patches, that is, how much each patch is looked at.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


@torch.no_grad()
def last_attention(model: nn.Module, images: Tensor) -> Tensor | None:
    """``images`` (B, C, H, W) normalised -> (B, h, w), sums below 1 per image; None for what is no plain ViT."""
    if not isinstance(model, VisionTransformer):
        return None
    layer, seen = model.blocks[-1].attn, []
    fused, layer.fused_attn = layer.fused_attn, False  # torch's fused attention never holds the probabilities
    hook = layer.attn_drop.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model.forward_features(images)
    finally:
        hook.remove()
        layer.fused_attn = fused
    first = model.num_prefix_tokens
    heads = seen[0].mean(1)  # (B, queries, keys)
    queries = heads[:, 0] if model.cls_token is not None else heads[:, first:].mean(1)
    return queries[:, first:].unflatten(1, model.patch_embed.grid_size)
