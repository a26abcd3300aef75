"""Weights of an encoder follow from the seed alone, and building it moves no generator."""

from __future__ import annotations

import torch

from ssl_patches.encoders.build import encoder, next_encoder, seeded

CFG = {
    "seed": 3,
    "image_size": 16,
    "data": {},
    "encoder": {
        "_target_": "ssl_patches.encoders.create",
        "name": "vit_tiny_patch16_224",
        "patch_size": 8,
        "options": {"depth": 1, "embed_dim": 8, "num_heads": 1},
    },
}


def test_weights_follow_from_the_seed_and_the_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    weights = encoder(CFG).state_dict()
    assert torch.get_rng_state().equal(before)
    torch.rand(5)
    assert all(value.equal(weights[key]) for key, value in encoder(CFG).state_dict().items())
    other = encoder({**CFG, "seed": 4}).state_dict()
    assert not all(value.equal(weights[key]) for key, value in other.items())


def test_heads_are_drawn_after_the_encoder_as_if_the_seed_had_been_set_for_all() -> None:
    with seeded(3):
        weights = next_encoder(CFG).state_dict()
        head = torch.rand(4)
    torch.manual_seed(3)
    assert all(value.equal(weights[key]) for key, value in next_encoder(CFG).state_dict().items())
    assert torch.rand(4).equal(head)
