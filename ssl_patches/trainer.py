"""How a run is executed. Apart from the run itself, because checking a request must not wait for lightning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""Our names -> Lightning's."""


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """How a run is executed; none of it changes what is learned but ``precision``.

    ``device``: auto takes a GPU when there is one. ``log_every``: steps between rows of metrics.csv.
    Checkpoints are written every ``checkpoint_minutes``, every ``checkpoint_steps`` (0: not by steps), and at the end.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every: int = 20
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int = 0
    checkpoints_kept: int = 2

    def __post_init__(self) -> None:
        for key, low in (("log_every", 1), ("checkpoint_minutes", 0), ("checkpoint_steps", 0), ("checkpoints_kept", 1)):
            if getattr(self, key) < low:
                raise ValueError(f"trainer.{key}={getattr(self, key)}: must be {low} or more; set trainer.{key}={max(low, 1)}")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("trainer.device=cuda: this machine shows torch no CUDA device; set trainer.device=auto")

    @property
    def accelerator(self) -> str:
        return "gpu" if self.device == "cuda" or (self.device == "auto" and torch.cuda.is_available()) else "cpu"


def choose_attention(module: nn.Module, *, accelerator: str, precision: str) -> None:
    """On a CPU in bf16, products and softmax by themselves: torch's fused attention is slower there (2.15, Zen 4)."""
    for layer in module.modules():
        if hasattr(layer, "fused_attn"):  # timm's name for it
            layer.fused_attn = layer.fused_attn and not (accelerator == "cpu" and precision == "bf16")
