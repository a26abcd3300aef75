"""Compute the linear maps of an fp32 step by oneDNN on AMD CPUs: the same accuracy, in less time.

torch gives the products of an fp32 Linear to MKL, which uses AVX2 on an AMD CPU: on Zen 5 that is
less than half of what AVX512 gives, on Zen 4 (whose 512 bits take two turns) nine tenths. oneDNN
takes all, and the bias along. ``mkldnn::_linear_pointwise`` is what torch.compile calls; it has no
gradient, so one is written here: the product for the weight stays with MKL, which is the quicker
one for its transposed operands. Measured in benchmarks/README.md, where also stands that the same
in bf16, where torch uses oneDNN anyway, gave nothing.

Only what computes gradients is changed, and only within ``linears_in_onednn``: what is evaluated,
counted and exported is plain. Private to torch is the operation, ``PRODUCT`` below; where it is
gone, torch's own product is used. Trap: choosing by a timing would make a resumed run another one,
bit by bit; the choice is by hardware alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

PRODUCT = "_linear_pointwise"
"""The private operation of ``torch.ops.mkldnn``; where it is gone, nothing is changed."""


def quicker_in_onednn() -> str | None:
    """Say in words why fp32 linear maps are quicker in oneDNN here; None where they are not."""
    found = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, PRODUCT)
    facts = Path("/proc/cpuinfo")
    lines = (
        facts.read_text() if found and torch.backends.mkl.is_available() and facts.exists() else ""
    )
    return (
        "fp32 on an AMD CPU with AVX512, of which MKL uses half"
        if "AuthenticAMD" in lines and "avx512f" in lines
        else None
    )


@contextmanager
def linears_in_onednn(module: nn.Module) -> Iterator[None]:
    """Make every plain nn.Linear below ``module`` an ``OneDnnLinear`` for the block.

    Objects, names and values stay the same.
    """
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear]
    for layer in layers:
        layer.__class__ = OneDnnLinear
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


class OneDnnLinear(nn.Linear):
    """An nn.Linear whose training step in fp32 on the CPU is computed by oneDNN.

    All else is nn.Linear's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (..., in) to (..., out)."""
        if (
            not torch.is_grad_enabled()
            or x.dtype != torch.float32
            or torch.is_autocast_enabled("cpu")
        ):
            return super().forward(x)
        return _Linear.apply(x, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _product(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        of_x = (
            _product(gradient, weight.mT, None).view(x.shape) if ctx.needs_input_grad[0] else None
        )
        of_weight = gradient.mT @ x.reshape(-1, x.shape[-1]) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, gradient.sum(0) if ctx.biased and ctx.needs_input_grad[2] else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
