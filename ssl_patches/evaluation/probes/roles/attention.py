"""Where a ViT looks, held against where the objects are.

The attention of the last block, averaged over heads, from the class token where there is one and
otherwise from the mean patch query, which is what a mean-pooled feature listens to. What is
measured is the share of attention that falls on object pixels.

The traps: (a) objects are central and so is attention, so the area of the objects is too easy a
chance level: the same attention is held against the masks of all *other* images as well; (b) the
best of several heads chosen on these images would be chosen on the test.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_patches.evaluation.probes.roles.look import Look


def attends(model: nn.Module) -> bool:
    """Is it a ViT of timm's, whose attention can be read?"""
    blocks = getattr(model, "blocks", None)
    return isinstance(blocks, nn.Sequential) and hasattr(
        getattr(blocks[-1], "attn", None), "attn_drop"
    )


@torch.no_grad()
def last_attention(model: nn.Module, images: Tensor) -> Tensor:
    """``images`` (B, C, H, W) normalised -> attention over the patch grid (B, h, w), each summing
    to 1.

    ValueError for what has no attention to show.
    """
    if not attends(model):
        raise ValueError(f"model: {type(model).__name__} has no attention to show; name a ViT")
    layer, seen = model.blocks[-1].attn, []
    fused, layer.fused_attn = (
        layer.fused_attn,
        False,
    )  # the fused kernel never writes the weights down
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


def attention_maps(look: Look, images: Tensor) -> Tensor:
    """uint8 (N, C, H, H) -> attention over the patch grid (N, h, w), each summing to 1, on the
    CPU."""
    batches = images.split(look.batch_size)
    return torch.cat(
        [last_attention(look.model, look.normalised(look.pixels(some))).cpu() for some in batches]
    )


def on_objects(attention: Tensor, masks: Tensor, objects: Sequence[int]) -> dict[str, Tensor]:
    """Attention (N, h, w) and masks (N, H, W) -> per image with objects: share of attention
    ``own``, ``other``, ``area``.

    ``other`` is the mean over the masks of the other images, ``area`` the share of the picture that
    objects cover. All in 0..1; images without an object are left out. ValueError when fewer than
    two have one.
    """
    inside = torch.isin(masks, torch.tensor(list(objects), dtype=masks.dtype)).float()
    covered = F.adaptive_avg_pool2d(inside[:, None], tuple(attention.shape[1:])).flatten(1)
    shown = covered.sum(1) > 0
    if shown.sum() < 2:
        raise ValueError(f"data.objects={list(objects)}: {int(shown.sum())} of {len(masks)} masks hold an object, 2 or more are "
                         "needed; set data.objects to ids of things")  # fmt: skip
    attention, covered = attention.flatten(1)[shown], covered[shown]
    falls = attention @ covered.T  # attention of the row's image on the objects of the column's
    own = falls.diagonal()
    return {"own": own, "other": (falls.sum(1) - own) / (len(falls) - 1), "area": covered.mean(1)}
