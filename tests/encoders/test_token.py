"""A ViT under partial view: hidden tokens cost nothing, blind ones have no place."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders import create
from ssl_patches.encoders.token import usual_patch
from ssl_patches.sampler import PatchSampler
from ssl_patches.training.budget import count_flops

VIT = {"depth": 1, "embed_dim": 48, "num_heads": 3}


def vit():
    torch.manual_seed(0)
    return create(name="vit_tiny_patch16_224", image_size=32, patch_size=4, options=VIT)


def test_a_quarter_of_the_tokens_costs_a_quarter_or_less():
    net, cutter = vit(), PatchSampler(image_size=32, unit=4)
    few = torch.arange(16).expand(2, 16)

    def some(twin, images):
        return twin(cutter(images).select(few)).tiles.sum()

    def every(twin, images):
        return twin(cutter(images)).tiles.sum()

    images = torch.rand(2, 3, 32, 32)
    assert count_flops(net, some, images) < 0.26 * count_flops(net, every, images)


def test_an_encoder_that_never_saw_a_place_exports_one_vector_everywhere():
    net, cutter = vit(), PatchSampler(image_size=32, unit=4)
    net(cutter(torch.rand(2, 3, 32, 32)).blind())
    table = net.export(32).pos_embed[0]
    assert (table == table[0]).all()


@pytest.mark.parametrize(("side", "patch"), [(224, 16), (64, 8), (32, 4)])
def test_the_usual_patch_leaves_eight_by_eight_tokens(side, patch):
    assert usual_patch("vit_tiny_patch16_224", side) == patch
