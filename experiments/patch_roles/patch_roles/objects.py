"""Hold where a ViT looks against where the objects are: the share of attention on object pixels.

The traps: (a) objects are central and so is attention, so the area of the objects is too easy a
chance level: the same attention is held against the masks of all *other* images as well; (b) the
best of several heads chosen on these images would be chosen on the test.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from patch_roles.look import Look
from ssl_patches.evaluation.attention import last_attention


def attention_maps(look: Look, images: Tensor) -> Tensor:
    """Return the attention (N, h, w) over the patch grid of uint8 images (N, C, H, H), on the CPU.

    Each image's sums to 1.
    """
    batches = images.split(look.batch_size)
    return torch.cat(
        [last_attention(look.model, look.normalised(look.pixels(some))).cpu() for some in batches]
    )


def on_objects(attention: Tensor, masks: Tensor, objects: Sequence[int]) -> dict[str, Tensor]:
    """Compute the share of attention on objects, per image that has some.

    ``attention`` (N, h, w), ``masks`` (N, H, W), ``objects``: ids of classes. Gives ``own`` (n,),
    ``other``, ``area``:

    ``other`` is the mean over the masks of the other images, ``area`` the share of the picture that
    objects cover. All in 0..1; images without an object are left out. ValueError when fewer than
    two have one.
    """
    inside = torch.isin(masks, torch.tensor(list(objects), dtype=masks.dtype)).float()
    covered = F.adaptive_avg_pool2d(inside[:, None], tuple(attention.shape[1:])).flatten(1)
    shown = covered.sum(1) > 0
    if shown.sum() < 2:
        raise ValueError(
            f"data.objects={list(objects)}: {int(shown.sum())} of {len(masks)} masks hold an"
            " object, 2 or more are needed; set data.objects to ids of things"
        )
    attention, covered = attention.flatten(1)[shown], covered[shown]
    falls = attention @ covered.T  # attention of the row's image on the objects of the column's
    own = falls.diagonal()
    return {"own": own, "other": (falls.sum(1) - own) / (len(falls) - 1), "area": covered.mean(1)}
