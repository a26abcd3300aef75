"""Say which ViTs of timm can encode tiles, and with which sizes."""

from __future__ import annotations

import re
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import nn

RESERVED = (
    "img_size",
    "in_chans",
    "num_classes",
    "global_pool",
    "fc_norm",
    "pretrained",
    "features_only",
)


def check_sizes(image_size: int, patch_size: int | None, options: dict[str, Any]) -> None:
    """Refuse sizes in pixels below one, and options that the encoder sets, with a ValueError."""
    if image_size < 1:
        raise ValueError(f"image_size={image_size}: must be at least 1 pixel; set image_size=64")
    if patch_size is not None and patch_size < 1:
        raise ValueError(
            f"encoder.patch_size={patch_size}: must be at least 1 pixel; set encoder.patch_size=8,"
            " or null"
        )
    for key in RESERVED:
        if key in options:
            raise ValueError(
                f"encoder.options.{key}={options[key]}: is set by the encoder itself; remove it"
            )


def usual_patch(name: str, image_size: int) -> int:
    """Read the patch in the name of a model (16 in vit_tiny_patch16_224), in pixels.

    It is halved until an image has 8 x 8 tokens or more.
    """
    found = re.search(r"patch(\d+)", name)
    patch = int(found[1]) if found else 16
    while patch > 1 and patch * 8 > image_size:
        patch //= 2
    return patch


def check_family(name: str, model: nn.Module) -> None:
    """Refuse what is no plain ViT with a table of absolute positions, with a ValueError."""
    reason = None
    if type(model) is not VisionTransformer:
        reason = f"it is a {type(model).__name__}"
    elif model.pos_embed is None:
        reason = "it has no absolute position table"
    if reason:
        raise ValueError(
            f"encoder.name={name}: not supported, {reason}; choose a plain"
            " VisionTransformer or ResNet of timm, e.g. encoder.name=vit_tiny_patch16_224 or"
            " resnet18"
        )
