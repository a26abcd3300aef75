"""A wrapped network gives pooled and dense features, with normalisation inside or outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

from ssl_patches.data.preprocess import Preprocess
from ssl_patches.encoders.network import Network, Preprocessing

IMAGES = Preprocessing(image_size=32, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3}


def vit():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="avg", **SMALL)


def test_bytes_with_normalisation_inside_are_floats_normalised_outside():
    model = vit().eval()
    image = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(part).view(-1, 1, 1) for part in (IMAGES.mean, IMAGES.std))
    with torch.no_grad():
        inside = Network(model, IMAGES, maps=False)(image)
        outside = Network(model, maps=False)((image / 255 - mean) / std)
    assert torch.allclose(inside, outside, atol=1e-5)


@pytest.mark.parametrize("stored_range", [(100, 4000), None])
def test_values_as_stored_are_the_levels_that_training_makes_of_them(stored_range):
    model, images = vit().eval(), replace(IMAGES, stored_range=stored_range)
    most = 65535 if stored_range is None else 4500
    stored = np.random.default_rng(0).integers(0, most + 1, (1, 3, 32, 32))
    preprocess = Preprocess(
        image_size=32, mean=IMAGES.mean, std=IMAGES.std, value_range=stored_range
    )
    taken = torch.from_numpy(stored.astype(np.uint16))
    with torch.no_grad():
        inside = Network(model, images, maps=False, stored=True)(taken)
        outside = Network(model, maps=False)(preprocess(taken[0])[None])
    assert torch.allclose(inside, outside, atol=1e-5)


def test_tokens_are_laid_out_as_a_map():
    with torch.no_grad():
        pooled, dense = Network(vit().eval())(torch.rand(2, 3, 32, 32))
    assert (pooled.shape, dense.shape) == ((2, 48), (2, 48, 4, 4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"std": [0.2, 0.3]}, "one number per channel"),
        ({"std": [0.2, 0.0, 0.4]}, "must be above 0"),
        ({"interpolation": "cubic"}, "unknown to timm"),
        ({"crop_pct": 0.0}, "crop_pct=0.0"),
    ],
)
def test_preprocessing_that_cannot_be_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        Preprocessing(**{**vars(IMAGES), **change})
