"""Muon's products in fp32: the same step as timm's but for rounding, and timm is left as it was."""

from __future__ import annotations

import timm.optim
import timm.optim.muon as of_timm
import torch

from ssl_patches.training.timm_private import Fp32Muon


def stepped(kind: type[timm.optim.Muon]) -> torch.Tensor:
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.zeros(24, 40))
    matrix.grad = torch.randn(24, 40)
    kind([{"params": [matrix]}], lr=1.0, weight_decay=0.0).step()
    return matrix.detach()


def test_a_step_in_fp32_is_that_of_timm_without_its_rounding():
    before = of_timm.zeropower_via_newtonschulz
    rounded, exact = stepped(timm.optim.Muon), stepped(Fp32Muon)
    assert of_timm.zeropower_via_newtonschulz is before
    error = (rounded - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.05, "bf16 has eight bits"
    assert torch.unique(exact).numel() == exact.numel(), "bf16 would repeat values"
