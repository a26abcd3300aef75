"""What every encoder can do with a view: one feature for it, or one for each subset."""

from __future__ import annotations

import torch

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler

VIT = {"depth": 1, "embed_dim": 48, "num_heads": 3}


def test_pooled_is_the_mean_over_tiles_and_subsets_take_their_own():
    torch.manual_seed(0)
    net = create(name="vit_tiny_patch16_224", image_size=32, patch_size=8, options=VIT).eval()
    patches = PatchSampler(image_size=32, unit=8).eval()(torch.rand(2, 3, 32, 32))
    every = torch.arange(16).expand(2, 1, 16)
    with torch.no_grad():
        assert torch.allclose(net.pooled(patches), net(patches).tiles.mean(1), atol=1e-6)
        assert torch.allclose(net.subsets(patches, every)[:, 0], net.pooled(patches), atol=1e-5)
