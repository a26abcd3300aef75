"""A map of a single position gives strided convolutions the gradient that arithmetic gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_patches.encoders.lone_position import avoid_lone_positions

TRIALS = 12


def worst_error(kernel: int, *, avoided: bool) -> float:
    """Return the largest error of a weight's gradient over trials, NaN counted as infinite.

    Freed memory is filled with NaN before each trial, so that what is not written is seen.
    """
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 64, kernel, stride=2, padding=kernel // 2, bias=False).bfloat16()
    if avoided:
        avoid_lone_positions(convolution)
    worst = 0.0
    for _ in range(TRIALS):
        spoilt = [torch.full((1 << size,), torch.nan) for size in (14, 16, 18) for _ in range(3)]
        del spoilt
        x = torch.randn(64, 64, 1, 1).bfloat16().to(memory_format=torch.channels_last)
        convolution.weight.grad = None
        out = convolution(x)
        assert out.shape == (64, 64, 1, 1)
        out.float().sum().backward()
        exact = torch.zeros(64, 64, kernel, kernel)
        exact[:, :, kernel // 2, kernel // 2] = x.float().sum((0, 2, 3))
        error = (convolution.weight.grad.float() - exact).abs().max().item()
        worst = max(worst, error if error == error else float("inf"))
    return worst


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_the_gradient_holds_nothing_that_was_not_written(kernel: int) -> None:
    assert worst_error(kernel, avoided=True) < 0.5  # sums of 64 draws, rounded to bf16


@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_output_is_the_same(side: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 8, 3, stride=2, padding=1).bfloat16()
    x = torch.randn(4, 8, side, side).bfloat16()
    plain = convolution(x)
    avoid_lone_positions(convolution)
    torch.testing.assert_close(convolution(x), plain)
