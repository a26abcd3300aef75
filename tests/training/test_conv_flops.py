"""Both gradients of a convolution cost what its forward pass does, however many groups it has."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_patches.training.budget import flop_counter


def counted(layer: nn.Module, *, backward: bool, learns_input: bool = True) -> int:
    images = torch.randn(2, 8, 6, 6, requires_grad=learns_input)
    with flop_counter() as counter:
        out = layer(images)
        if backward:
            out.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_step_costs_three_forward_passes(kind: type[nn.Module], groups: int, stride: int):
    layer = kind(8, 8, 3, stride=stride, padding=1, groups=groups)
    assert counted(layer, backward=True) == 3 * counted(layer, backward=False)


def test_no_gradient_of_the_images_is_counted_where_none_is_made():
    layer = nn.Conv2d(8, 8, 3, groups=8)
    forward = counted(layer, backward=False)
    assert counted(layer, backward=True, learns_input=False) == 2 * forward
