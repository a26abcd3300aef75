"""Store weights in 16 bits and compute with them in 32: half the size, the same interface.

Only tensors of two dimensions or more are rounded: biases, norms and BatchNorm statistics weigh
nothing, and a running variance may lie below what fp16 can show. What the rounding costs is
measured by the proof against the trained encoder and bounded by ``TOLERANCES``; on a GPU,
``model.half()`` computes in 16 bits too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.utils.parametrize
from torch import Tensor, nn

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
)
TOLERANCES: Mapping[str, float] = MappingProxyType({"fp32": 1e-5, "fp16": 5e-3, "bf16": 5e-2})
"""Largest difference that is allowed, relative to the largest feature. fp16 rounds each weight by
2^-11, bf16 by 2^-8."""
MOST = 10.0
"""How many times that may be allowed, where float32 itself is no more exact for a network."""


def is_rounded(tensor: Tensor) -> bool:
    """Tell whether a tensor (...) is stored in 16 bits: float32 of two dimensions or more."""
    return tensor.dim() > 1 and tensor.dtype == torch.float32


def rounded(tensor: Tensor, precision: str) -> Tensor:
    """Round a tensor (...) as it is stored. ValueError where it is too large for fp16."""
    if not is_rounded(tensor):
        return tensor
    stored = tensor.to(DTYPES[precision])
    if not stored.isfinite().all() and tensor.isfinite().all():
        raise ValueError(
            "precision=fp16: a weight is above 65504, the largest number of fp16; set"
            " precision=bf16 or fp32"
        )
    return stored


class _AsFloat32(nn.Module):
    def forward(self, stored: Tensor) -> Tensor:
        return stored.float()


def store_rounded(model: nn.Module, precision: str) -> nn.Module:
    """Store the weights of ``model`` in 16 bits; they are made float32 when they are used."""
    for module in list(model.modules()):
        for name, weight in list(module.named_parameters(recurse=False)):
            if precision != "fp32" and is_rounded(weight):
                weight.data = rounded(weight.data, precision)
                nn.utils.parametrize.register_parametrization(
                    module, name, _AsFloat32(), unsafe=True
                )
    return model
