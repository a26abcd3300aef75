"""Encoders from timm by name: ViTs as TokenEncoder, ResNet, ConvNeXt and EfficientNet as ConvEncoder."""

from __future__ import annotations

from typing import Any

from timm.models import VisionTransformer

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.conv import ConvEncoder
from ssl_patches.encoders.families import FAMILIES, module_of
from ssl_patches.encoders.token import TokenEncoder

__all__ = ["ConvEncoder", "Encoder", "TokenEncoder", "create"]


def create(
    *,
    name: str,
    image_size: int,
    channels: int = 3,
    patch_size: int | None = None,
    output_stride: int | None = None,
    options: dict[str, Any] | None = None,
) -> Encoder:
    """The encoder of that timm name.

    ``name``: a plain ViT or ResNet of timm. ``patch_size``: side in pixels of a token of a ViT; None: the one in its name,
    halved until an image has 8 x 8 tokens. ``output_stride``: pixels per position of a CNN's last map, 8, 16 or 32; None: 8
    below an image_size of 64, else 32.
    ``options``: further arguments of timm's model, such as ``{depth: 6}``; None: none. ValueError for an unknown or unfit name.
    """
    module = module_of(name)
    if module == VisionTransformer.__module__:
        if output_stride is not None:
            raise ValueError(f"encoder.output_stride={output_stride}: {name} is a ViT; set encoder.patch_size instead")
        return TokenEncoder(name=name, image_size=image_size, channels=channels, patch_size=patch_size, options=options)
    if module in [family.module for family in FAMILIES]:
        if patch_size is not None:
            raise ValueError(f"encoder.patch_size={patch_size}: {name} is a CNN; set encoder.output_stride instead")
        return ConvEncoder(name=name, image_size=image_size, channels=channels, output_stride=output_stride, options=options)
    raise ValueError(
        f"encoder.name={name}: not supported, {module.rsplit('.', 1)[-1]} models show no partial view here; "
        "choose a plain ViT or ResNet of timm, e.g. encoder.name=vit_tiny_patch16_224 or resnet18"
    )
