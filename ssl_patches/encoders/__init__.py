"""Create encoders by timm name: ViTs as TokenEncoder, ResNet, ConvNeXt and EfficientNet as
ConvEncoder."""

from __future__ import annotations

from typing import Any

from timm.models import VisionTransformer, VisionTransformerDistilled

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.conv import ConvEncoder
from ssl_patches.encoders.families import FAMILIES, check_arguments, module_of
from ssl_patches.encoders.pretrained import load_weights
from ssl_patches.encoders.token import TokenEncoder

__all__ = ["ConvEncoder", "Encoder", "TokenEncoder", "create"]

REFUSED = {
    "eva": (
        "each block turns queries by places of the whole grid (RoPE), and turning them by those of"
        " tiles is not built"
    ),
    "swin_transformer": "its windows need the whole grid of tokens",
    "swin_transformer_v2": "its windows need the whole grid of tokens",
    "beit": "its relative position bias is a table of the whole grid of tokens",
    "mobilenetv3": "it pools before its last convolution, so that its map is not what is exported",
    "vision_transformer_hybrid": "its stem mixes pixels of neighbouring tokens, hidden ones too",
    "maxxvit": "its windows need the whole grid of tokens",
    "mlp_mixer": "it mixes a fixed number of tokens",
}
"""Families of timm that were looked at and cannot be held honestly under a partial view, and
why."""


def create(
    *,
    name: str,
    image_size: int,
    channels: int = 3,
    patch_size: int | None = None,
    output_stride: int | None = None,
    options: dict[str, Any] | None = None,
    pretrained: bool | str = False,
    fixed_statistics: bool = False,
) -> Encoder:
    """Create the encoder of a timm name.

    ``name``: a ViT, ResNet, ConvNeXt or EfficientNet of timm, see docs/encoders.md. ``patch_size``:
    side in pixels of a token of a ViT; None: the one in its name, halved until an image has 8 x 8
    tokens. ``output_stride``: pixels per position of a CNN's last map, 8, 16 or 32; None: 8 below
    an image_size of 64, else 32 (ConvNeXt: 16 below 224).
    ``options``: further arguments of timm's model, such as ``{depth: 6}``; None: none.
    ``pretrained``: true for timm's weights, or a file, a run, an export or a repository of the hub
    (``hf-hub:USER/NAME``) to go on from (see ``pretrained``). Why: the task alone is to have taught
    what is measured. What was loaded is told by the attribute ``loaded``. ``fixed_statistics``:
    BatchNorm keeps the statistics that ``pretrained`` weights came with, in training and in the
    export, where there is BatchNorm. Why: random weights have none to keep. ValueError for an
    unknown or unfit name, and for weights that do not fit.
    """
    sizes = {"patch_size": patch_size, "output_stride": output_stride}
    encoder = _create(name=name, image_size=image_size, channels=channels, options=options, **sizes)
    if pretrained:
        encoder.loaded = load_weights(encoder, pretrained)
    if fixed_statistics:
        encoder.fixed_statistics = True
        encoder.train()
    return encoder


def _create(
    *,
    name: str,
    image_size: int,
    channels: int,
    patch_size: int | None,
    output_stride: int | None,
    options: dict[str, Any] | None,
) -> Encoder:
    module = module_of(name)
    check_arguments(options or {}, "encoder.options")
    if "distilled" in name and module == VisionTransformerDistilled.__module__:
        raise ValueError(
            f"encoder.name={name}: not supported, its feature is that of the class and the"
            " distillation token, which no tile trains; set"
            f" encoder.name={name.replace('_distilled', '')}"
        )
    if module in (VisionTransformer.__module__, VisionTransformerDistilled.__module__):
        if output_stride is not None:
            raise ValueError(
                f"encoder.output_stride={output_stride}: {name} is a ViT; set encoder.patch_size"
                " instead"
            )
        return TokenEncoder(
            name=name,
            image_size=image_size,
            channels=channels,
            patch_size=patch_size,
            options=options,
        )
    if module in [family.module for family in FAMILIES]:
        if patch_size is not None:
            raise ValueError(
                f"encoder.patch_size={patch_size}: {name} is a CNN; set encoder.output_stride"
                " instead"
            )
        return ConvEncoder(
            name=name,
            image_size=image_size,
            channels=channels,
            output_stride=output_stride,
            options=options,
        )
    family = module.rsplit(".", 1)[-1]
    why = REFUSED.get(family, f"{family} models were not read for what a partial view does to them")
    raise ValueError(
        f"encoder.name={name}: not supported, {why}; choose a plain ViT, DeiT, ResNet, ConvNeXt or"
        " EfficientNet of timm, e.g. encoder.name=vit_tiny_patch16_224 or resnet18"
    )
