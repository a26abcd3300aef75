"""Choose the attention kernel of a timm model."""

from __future__ import annotations

from typing import Any

from torch import nn


def choose_attention(module: nn.Module, *, accelerator: str, precision: str) -> None:
    """Choose the quicker attention kernel for a timm model.

    On a CPU in bf16 that is products and softmax by themselves: torch's fused attention is
    slower there (2.15, Zen 4).
    """
    if accelerator != "cpu" or precision != "bf16":
        return
    layer: Any
    for layer in module.modules():
        if "fused_attn" in vars(layer):  # timm's name for it, in every family
            layer.fused_attn = False
