"""Parameter groups, learning rate and schedule."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders import create
from ssl_patches.optim import SGD, AdamW

TINY = {"depth": 1, "embed_dim": 48, "num_heads": 3, "class_token": True}


@pytest.fixture(scope="module")
def encoder():
    return create(name="vit_tiny_patch16_224", image_size=32, options=TINY)


def test_only_matrices_are_decayed(encoder):
    decayed, kept = AdamW().optimizer([encoder], batch_size=256).param_groups
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    assert decayed["weight_decay"] == 0.05
    assert kept["weight_decay"] == 0
    assert all(names[id(p)].endswith("weight") and p.dim() > 1 for p in decayed["params"])
    spared = {names[id(p)].rpartition(".")[2] for p in kept["params"]}
    assert {"bias", "no_place", "cls_token"} <= spared


def test_every_trainable_parameter_is_in_exactly_one_group(encoder):
    groups = SGD().optimizer([encoder], batch_size=256).param_groups
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in encoder.parameters() if p.requires_grad)


def test_the_fixed_position_table_is_not_trained(encoder):
    groups = AdamW().optimizer([encoder], batch_size=256).param_groups
    assert id(encoder.model.pos_embed) not in {id(p) for group in groups for p in group["params"]}


def test_the_learning_rate_is_proportional_to_the_batch(encoder):
    assert AdamW(base_lr=1e-3).optimizer([encoder], batch_size=64).param_groups[0]["lr"] == pytest.approx(2.5e-4)


def test_the_schedule_rises_from_zero_peaks_at_the_end_of_warm_up_and_ends_at_zero():
    recipe = AdamW(warmup=0.1)
    rising = [recipe.factor(p / 100) for p in range(11)]
    falling = [recipe.factor(p / 100) for p in range(10, 101)]
    assert rising[0] == 0
    assert rising == sorted(rising)
    assert max(rising) == falling[0] == 1
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(0, abs=1e-12)
    assert recipe.factor(0.55) == pytest.approx(0.5)


@pytest.mark.parametrize("knobs", [{"base_lr": -1.0}, {"weight_decay": float("nan")}, {"warmup": 1.0}, {"clip": -0.1}])
def test_a_recipe_out_of_range_is_refused_by_its_key(knobs):
    (key,) = knobs
    for recipe in (AdamW, SGD):
        with pytest.raises(ValueError, match=f"optimizer.{key}=.*set optimizer.{key}="):
            recipe(**knobs)
    with pytest.raises(ValueError, match=r"optimizer.betas"):
        AdamW(betas=[0.9])
    with pytest.raises(ValueError, match=r"optimizer.momentum"):
        SGD(momentum=1.0)


def test_momentum_and_betas_reach_torch(encoder):
    assert SGD(momentum=0.7).optimizer([encoder], batch_size=1).param_groups[0]["momentum"] == 0.7
    assert AdamW(betas=[0.8, 0.9]).optimizer([encoder], batch_size=1).param_groups[0]["betas"] == (0.8, 0.9)
    assert torch.optim.AdamW in type(AdamW().optimizer([encoder], batch_size=1)).__mro__
