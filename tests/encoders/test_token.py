"""A ViT under partial view: hidden tokens cost nothing, blind ones have no place."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders import create
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
    net = vit()
    net.note_training(placed=False)
    table = net.export(32).pos_embed[0]
    assert torch.equal(table, net.no_place.expand_as(table))
    net.note_training(placed=True)
    net.note_training(placed=False)
    assert torch.equal(net.export(32).pos_embed[0], net.table)


def test_whole_images_are_encoded_with_the_table_of_the_export():
    net, images = vit().eval(), torch.rand(2, 3, 32, 32)
    placed = net.features(images)[0].pooled
    net.note_training(placed=False)
    blind = net.features(images)[0].pooled
    assert torch.equal(blind, net.features(images)[0].pooled)
    assert torch.allclose(blind, net.export(32).forward_features(images).mean(1), atol=1e-6)
    assert not torch.allclose(blind, placed)


@pytest.mark.parametrize("blind", [False, True])
def test_looking_at_an_encoder_leaves_it_as_it_was(blind):
    net, cutter = vit(), PatchSampler(image_size=32, unit=4)
    net.note_training(placed=not blind)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    plain = {key: value for key, value in vars(net).items() if isinstance(value, str | bool | int)}
    images = torch.rand(2, 3, 32, 32)
    patches = cutter(images)
    for shown in (patches, patches.blind(), patches.blind(torch.zeros(2, 1, dtype=torch.int64))):
        net(shown), net.alone(shown), net.scrambled(shown)
    net.features(images)
    net.export(32)
    after = net.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert plain == {key: vars(net)[key] for key in plain}


def test_a_checkpoint_says_what_training_has_shown():
    net, again = vit(), vit()
    net.note_training(placed=False)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.export(32).pos_embed, net.export(32).pos_embed)


def test_a_checkpoint_that_holds_the_blind_table_gives_the_same_features():
    """Former versions wrote it into the held model when features were asked for."""
    net, again, images = vit().eval(), vit().eval(), torch.rand(2, 3, 32, 32)
    net.note_training(placed=False)
    state = net.state_dict() | {"model.pos_embed": net.export(32).pos_embed}
    again.load_state_dict(state)
    assert torch.equal(again.features(images)[0].pooled, net.features(images)[0].pooled)
