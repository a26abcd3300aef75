"""The attention kernel is chosen where it is known to be slower, and only there."""

from __future__ import annotations

import pytest
import timm

from ssl_patches.encoders.attention import choose_attention

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}


@pytest.mark.parametrize(
    ("accelerator", "precision", "fused"),
    [("cpu", "bf16", False), ("cpu", "fp32", True), ("gpu", "bf16", True)],
)
def test_fused_attention_is_switched_off_on_a_cpu_in_bf16_only(accelerator, precision, fused):
    model = timm.create_model("vit_tiny_patch16_224", **SMALL)
    for block in model.blocks:
        block.attn.fused_attn = True
    choose_attention(model, accelerator=accelerator, precision=precision)
    assert [block.attn.fused_attn for block in model.blocks] == [fused] * 2
