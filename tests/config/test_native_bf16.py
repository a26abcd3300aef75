"""bf16 is quick only where the hardware has it."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.config.native_bf16 import native_bf16


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        ({"avx2": True, "avx512_bf16": True}, "this CPU has AVX512-BF16"),
        ({"avx2": True, "avx512_bf16": False}, None),
        ({}, None),
    ],
)
def test_a_cpu_is_asked_for_its_units(monkeypatch, capabilities, said):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert native_bf16("cpu") == said
