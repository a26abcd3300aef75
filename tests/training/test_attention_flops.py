"""Attention on a CPU is counted by the formula of its products, whatever torch counts by itself."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ssl_patches.training.attention_flops import ATTENTION
from ssl_patches.training.budget import flop_counter


def test_breaks_when_torch_renames_its_operations() -> None:
    assert all(operation.default for operation in ATTENTION)


def test_attention_costs_two_products_forward_and_five_backward() -> None:
    query, key, value = (torch.randn(2, 3, 5, 8, requires_grad=True) for _ in range(3))
    with flop_counter() as counter:
        F.scaled_dot_product_attention(query, key, value).sum().backward()
    product = 2 * 2 * 3 * 5 * 5 * 8
    assert counter.get_total_flops() == 7 * product
