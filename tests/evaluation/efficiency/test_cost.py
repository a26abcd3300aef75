"""FLOPs are those of the products of a forward pass, attention included."""

import pytest
import timm
from torch import nn

from ssl_patches.evaluation.efficiency.cost import forward_flops


def test_a_linear_map_costs_two_per_weight_and_raw_pixels_nothing():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5, bias=False))
    assert forward_flops(net, image_size=8, channels=3) == 2 * 192 * 5
    assert forward_flops(None, image_size=8, channels=3) == 0


def test_attention_is_counted_and_the_mode_is_left_as_it_was():
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "num_heads": 3, "num_classes": 0}
    one, two = (
        timm.create_model("vit_tiny_patch16_224", depth=depth, **options).train()
        for depth in (1, 2)
    )
    counts = [forward_flops(net, image_size=32, channels=3) for net in (one, two)]
    tokens, dim = 17, 48
    block = 2 * tokens * 12 * dim**2 + 4 * tokens**2 * dim
    assert counts[1] - counts[0] == pytest.approx(block)
    assert one.training
