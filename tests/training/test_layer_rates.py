"""Every layer of an encoder has its share of the learning rate."""

from __future__ import annotations

import pytest
from torch import nn

from ssl_patches.encoders import create
from ssl_patches.training.layer_rates import layer_scales


def test_layer_decay_knows_the_layers_of_each_family():
    for name, first, last in [
        ("convnextv2_atto", "model.stem.0.weight", "model.norm_pre.weight"),
        ("test_efficientnet", "model.conv_stem.weight", "model.bn2.weight"),
        ("deit_tiny_patch16_224", "model.patch_embed.proj.weight", "model.norm.weight"),
    ]:
        encoder = create(name=name, image_size=32)
        scales = layer_scales(encoder, 0.5)
        assert set(scales) == {key for key, _ in encoder.named_parameters()}
        assert scales[last] == 0.5 == max(scales.values())
        assert scales[first] == min(scales.values()) < 0.1


def test_the_first_layers_can_stay_as_they_are_and_the_others_learn():
    encoder = create(name="test_efficientnet", image_size=32)
    scales = layer_scales(encoder, 1.0, frozen=2)
    assert set(scales.values()) == {0.0, 1.0}
    assert scales["model.conv_stem.weight"] == 0.0


def test_to_freeze_all_layers_is_refused_with_what_to_set():
    with pytest.raises(ValueError, match=r"optimizer.frozen_layers=99.*set"):
        layer_scales(create(name="test_efficientnet", image_size=32), 1.0, frozen=99)


def test_what_is_no_encoder_has_no_layers():
    assert layer_scales(nn.Linear(2, 2), 0.5) == {}
