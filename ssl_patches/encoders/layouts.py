"""Read weights of public networks whose names are not timm's, tensor by tensor in the order of the
network.

torchvision's MobileNetV2 is timm's ``mobilenetv2_100``, and the EfficientNet-Lite0 of TensorFlow as
the package ``efficientnet_lite_pytorch`` stores it is timm's ``tf_efficientnet_lite0``: the same
layers in the same order under other names. So names are put in the order of the network, the head
is left out, and the i-th tensor is timm's i-th. Their shapes are checked by whoever loads them.

The traps: (a) the order of a file is not that of the network: safetensors sorts by name, hence the
order comes from the names; (b) two tensors of one shape in the wrong order would load and compute
nonsense: tests compare with the networks that the weights are from; (c) the two were trained with
other means and deviations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from timm.data.constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
)
from torch import Tensor

COUNTS = "num_batches_tracked"
TENSORS = ("weight", "bias", "running_mean", "running_var", COUNTS)
"""The tensors of a layer in the order in which networks list them."""


@dataclass(frozen=True)
class Layout:
    """How a public network names its tensors, and what it is.

    ``architecture``: its name in timm. ``marks``: names that only it has. ``head``: how names of
    its head begin. ``place``: name -> what sorts it as the network is built. ``mean``,
    ``std``: what its weights were trained with, per channel, of pixels in 0..1.
    """

    name: str
    architecture: str
    marks: tuple[str, ...]
    head: str
    place: Callable[[str], tuple[int, ...]]
    mean: Sequence[float]
    std: Sequence[float]


def _mobilenet_place(name: str) -> tuple[int, ...]:
    """``features.3.conv.1.0.weight`` -> (3, 1, 0, ...): numbers in the order of the layers."""
    layer, _, tensor = name.rpartition(".")
    numbers = [int(part) for part in layer.split(".") if part.isdigit()]
    # a block's parts are numbered with and without a number within: 1.0, 1.1, 2, 3
    return *(numbers + [-1] * (4 - len(numbers))), _tensor(tensor)


LITE_PARTS = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
LITE_ENDS = {"_conv_stem": (-1, 0), "_bn0": (-1, 1), "_conv_head": (10**6, 0), "_bn1": (10**6, 1)}


def _lite_place(name: str) -> tuple[int, ...]:
    """``_blocks.4._bn1.bias`` -> (4, 3, ...): block, then layer in it; stem first, end last."""
    layer, _, tensor = name.rpartition(".")
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer)
    if found and found[2] in LITE_PARTS:
        return int(found[1]), LITE_PARTS.index(found[2]), _tensor(tensor)
    return *LITE_ENDS.get(layer, (10**7, 0)), _tensor(tensor)


def _tensor(name: str) -> int:
    return TENSORS.index(name) if name in TENSORS else len(TENSORS)


LAYOUTS = (
    Layout(
        "torchvision MobileNetV2",
        "mobilenetv2_100",
        ("features.0.0.weight", "features.1.conv.0.0.weight"),
        "classifier.",
        _mobilenet_place,
        IMAGENET_DEFAULT_MEAN,
        IMAGENET_DEFAULT_STD,
    ),
    Layout(
        "TensorFlow's EfficientNet-Lite",
        "tf_efficientnet_lite0",
        ("_conv_stem.weight", "_blocks.0._depthwise_conv.weight"),
        "_fc.",
        _lite_place,
        IMAGENET_INCEPTION_MEAN,
        IMAGENET_INCEPTION_STD,
    ),
)


def layout_of(names: Collection[str]) -> Layout | None:
    """Tell which public network the names of a state dict are of; None: of none that is known."""
    return next((layout for layout in LAYOUTS if set(layout.marks) <= set(names)), None)


def in_order(
    state: Mapping[str, Tensor], layout: Layout, own: Sequence[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """Give the tensors (N, ...) of a public network the names ``own`` of the encoder, in order.

    Returns them and the names of the head, which is left out. Counts of BatchNorm are left out on
    both sides. Where there are more or fewer than ``own`` the rest keeps its name, so that whoever
    loads them strictly tells what does not fit.
    """
    head = [name for name in state if name.startswith(layout.head)]
    theirs = sorted(
        (name for name in state if name not in head and not name.endswith(COUNTS)),
        key=layout.place,
    )
    mine = [name for name in own if not name.endswith(COUNTS)]
    names = dict(zip(theirs, mine, strict=False))
    return {names.get(name, name): state[name] for name in theirs}, head
