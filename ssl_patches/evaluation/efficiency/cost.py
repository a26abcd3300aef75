"""Count what a model costs: FLOPs of a forward pass, and the time of a piece of work."""

from __future__ import annotations

from torch import nn, no_grad, zeros
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ssl_patches.evaluation.features.extract import frozen

STEP = 3
"""A step of training costs three forward passes: forward, and backward for inputs and weights."""


@no_grad()
def forward_flops(model: nn.Module | None, *, image_size: int, channels: int) -> float:
    """Count the FLOPs of one image (C, S, S) forward; 0 for raw pixels (None).

    Attention is computed by its products for the count, which torch's fused form on a CPU hides.
    """
    if model is None:
        return 0.0
    counter = FlopCounterMode(display=False)
    with frozen(model, "cpu") as net, sdpa_kernel(SDPBackend.MATH), counter:
        net(zeros(1, channels, image_size, image_size))
    return float(counter.get_total_flops())
