"""Keep strided convolutions of maps that are one position wide away from a fault of oneDNN.

On a CPU with bf16, torch's gradient of the weights of a convolution of stride 2 and padding is
whatever lay in memory wherever the map has a single position: the taps that meet padding only are
never written (torch 2.15, kernels of 3, 5 and 7; tests/encoders/test_lone_position.py shows it).
Small tiles meet this in a network whose stride is larger than they are. With a second row and
column of zeros the output is the same, and oneDNN takes another kernel. Remove this file when the
test no longer finds the fault.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def avoid_lone_positions(convolution: nn.Conv2d) -> None:
    """Let a convolution pad maps of a single position where oneDNN would get it wrong."""
    padding = convolution.padding
    if isinstance(padding, str) or max(convolution.stride) == 1:
        return
    if 2 * padding[0] + 1 == convolution.kernel_size[0]:
        convolution.register_forward_pre_hook(_widened)


def _widened(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a map (B, C, 1, 1) of bf16 on a CPU as (B, C, 2, 2), zeros beside it; others as they
    are."""
    (x,) = given
    lone = x.shape[-2:] == (1, 1) and x.device.type == "cpu" and x.dtype == torch.bfloat16
    return (F.pad(x, (0, 1, 0, 1)),) if lone else given
