"""Tell which CNN families of timm can be shown a part of an image, and what each needs for that.

A family is a module of timm whose blocks were read: nothing in them but the layers of ``visible``
touches more than one position, so that hiding their outputs hides everything. ``unmaskable`` then
looks at the layers of each network, for a name or an option may bring others.

Traps: (a) a ConvNeXt pools before its last norm, so that the mean of its map is not its feature:
``head_norm_first`` turns the two round, as ``fc_norm`` off does for a ViT. (b) Its convolutions
with a stride are not padded and drop what is left over, hence tiles are multiples of the stride.
(c) timm's ConvNeXt at ``output_stride=8`` dilates a 2 x 2 convolution, which then reads four
neighbours of a position and not the position: a tile among hidden ones would be zero. A stem of
stride 1 gives stride 8 without dilation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import timm
from timm.models import ConvNeXt, EfficientNet, ResNet, model_entrypoint
from torch import nn

from ssl_patches.encoders.visible import unmaskable

STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Family:
    """A family of CNNs of timm that can be shown a part of an image.

    ``stages``: the first of timm's feature stages that counts; ``padded``: do strided
    convolutions see all of any map?
    """

    name: str
    module: str
    examples: str
    stages: int
    padded: bool = True

    def stride(self, image_size: int) -> int:
        """Choose the pixels per position of the final map where none are asked for."""
        if image_size < 64:
            return 8
        return 32 if self.padded or image_size >= 224 else 16  # tiles of 32 px are few below 224

    def arguments(self, stride: int) -> dict[str, Any]:
        """Give the arguments for timm that hold unless options say otherwise."""
        if self.padded:
            return {}
        return {"head_norm_first": True} | ({"patch_size": 1} if stride == 8 else {})


FAMILIES = (
    Family(
        "ResNet",
        ResNet.__module__,
        "resnet18, resnet34, resnet50, seresnet50, resnext50_32x4d or wide_resnet50_2",
        stages=1,
    ),
    Family(
        "ConvNeXt",
        ConvNeXt.__module__,
        "convnext_tiny, convnextv2_atto or convnextv2_tiny",
        stages=0,
        padded=False,
    ),
    Family(
        "EfficientNet",
        EfficientNet.__module__,
        "efficientnet_b0, efficientnetv2_rw_s or mobilenetv2_100",
        stages=1,
    ),
)


def module_of(name: str) -> str:
    """Name the module of timm that a model is from. ValueError for a name unknown to timm."""
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3) or [
            "vit_tiny_patch16_224",
            "resnet18",
        ]
        raise ValueError(
            f"encoder.name={name}: timm has no such model; did you mean {' or '.join(near)}?"
        )
    return model_entrypoint(name).__module__


LOADS = ("pretrained", "checkpoint", "cache_dir", "feature_cfg", "features_only", "pruned")
"""What the names of timm's arguments begin with that read or fetch files, or wrap the model."""


def check_arguments(arguments: Mapping[str, Any], key: str) -> None:
    """Raise ValueError, naming ``key``, for arguments of timm that are not about the network."""
    for name in arguments:
        if str(name).startswith(LOADS):
            raise ValueError(
                f"{key}.{name}: is no argument of a network; take it out (encoder.pretrained=FILE"
                " begins from weights)"
            )


def cnn_family(name: str) -> Family:
    """Find the family of a CNN's timm name. ValueError where it is of none."""
    module = module_of(name)
    for family in FAMILIES:
        if family.module == module:
            return family
    raise ValueError(
        f"encoder.name={name}: must be a {', '.join(family.name for family in FAMILIES[:-1])} or"
        f" {FAMILIES[-1].name} of timm to be a ConvEncoder; set encoder.name={FAMILIES[0].examples}"
    )


def create_cnn(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Create a timm CNN with random weights.

    ValueError when the name or the arguments are not those of one we can mask.
    """
    family = cnn_family(name)
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, **arguments)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"encoder.options={arguments}: {name} does not take them ({error}); remove it"
        ) from error
    if (found := unmaskable(model)) is not None:
        rule = (
            "only convolutions, batch and layer norms, pooling, SE and activations that keep zeros"
            " leave hidden tiles hidden"
        )
        raise ValueError(
            f"encoder.name={name}: has {found}, but {rule}; set encoder.name={family.examples}"
        )
    return model
