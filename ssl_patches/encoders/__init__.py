"""Encoders from timm by name: ViT as TokenEncoder, ResNet as ConvEncoder."""

from __future__ import annotations

import difflib
from typing import Any

import timm
from timm.models import ResNet, VisionTransformer, model_entrypoint

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.conv import ConvEncoder
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
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3) or ["vit_tiny_patch16_224", "resnet18"]
        raise ValueError(f"encoder.name={name}: timm has no such model; did you mean {' or '.join(near)}?")
    module = model_entrypoint(name).__module__
    if module == VisionTransformer.__module__:
        if output_stride is not None:
            raise ValueError(f"encoder.output_stride={output_stride}: {name} is a ViT; set encoder.patch_size instead")
        return TokenEncoder(name=name, image_size=image_size, channels=channels, patch_size=patch_size, options=options)
    if module == ResNet.__module__:
        if patch_size is not None:
            raise ValueError(f"encoder.patch_size={patch_size}: {name} is a CNN; set encoder.output_stride instead")
        return ConvEncoder(name=name, image_size=image_size, channels=channels, output_stride=output_stride, options=options)
    raise ValueError(
        f"encoder.name={name}: not supported, {module.rsplit('.', 1)[-1]} models show no partial view here; "
        "choose a plain ViT or ResNet of timm, e.g. encoder.name=vit_tiny_patch16_224 or resnet18"
    )
