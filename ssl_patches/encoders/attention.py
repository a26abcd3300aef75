"""Choose the attention kernel of a timm model."""

from __future__ import annotations

from typing import Any

from torch import nn


def choose_attention(module: nn.Module, *, accelerator: str, precision: str) -> None:
    """On a CPU in bf16, products and softmax by themselves: torch's fused attention is slower there
    (2.15, Zen 4)."""
    layer: Any
    for layer in module.modules():
        if hasattr(layer, "fused_attn"):  # timm's name for it
            layer.fused_attn = layer.fused_attn and not (
                accelerator == "cpu" and precision == "bf16"
            )
