"""Count the FLOPs of the backward pass of grouped convolutions, of which torch counts too many.

torch's counter takes the gradient of the weights of a depthwise convolution for that of a full one:
of a MobileNet or a ConvNeXt it counts several times what is executed (torch 2.11 to 2.15).

Source: each gradient of a convolution is as many products as its forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch


def backward_flops(
    grad_out: Sequence[int],
    images: Sequence[int],
    weight: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: Sequence[bool],
    **_: Any,
) -> int:
    """Count the FLOPs of the gradients that are ``wanted`` (of images, weights, bias).

    Shapes: ``grad_out`` (B, C', h, w), ``images`` (B, C, H, W), ``weight`` (C', C/groups, k, k);
    (C, C'/groups, k, k) where ``transposed``. The bias is a sum, and counts nothing.
    """
    forward = 2 * prod(images if transposed else grad_out) * prod(weight[1:])
    return forward * sum(wanted[:2])


CONVOLUTION = {torch.ops.aten.convolution_backward: backward_flops}
"""Operation -> FLOPs by the shapes of its arguments, as torch's counter takes it."""
