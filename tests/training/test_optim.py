"""Parameter groups, learning rate and schedule."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from runs import weights

from ssl_patches.encoders import create
from ssl_patches.training.optim import SGD, AdamW, Lamb, Lars, Muon

TINY = {"depth": 1, "embed_dim": 48, "num_heads": 3, "class_token": True}
RECIPES = (AdamW, SGD, Lars, Lamb, Muon)


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
    for recipe in RECIPES:
        for layer_decay in (1.0, 0.75):
            groups = (
                recipe(layer_decay=layer_decay).optimizer([encoder], batch_size=256).param_groups
            )
            found = [id(p) for group in groups for p in group["params"]]
            assert sorted(found) == sorted(id(p) for p in encoder.parameters() if p.requires_grad)


def test_the_fixed_position_table_is_not_trained(encoder):
    groups = AdamW().optimizer([encoder], batch_size=256).param_groups
    assert id(encoder.model.pos_embed) not in {id(p) for group in groups for p in group["params"]}


def test_the_learning_rate_is_proportional_to_the_batch(encoder):
    assert AdamW(base_lr=1e-3).optimizer([encoder], batch_size=64).param_groups[0][
        "lr"
    ] == pytest.approx(2.5e-4)


def test_the_schedule_rises_from_zero_peaks_at_the_end_of_warm_up_and_ends_at_zero():
    recipe = AdamW(warmup=0.1)
    rising = [recipe.lr_multiplier(p / 100) for p in range(11)]
    falling = [recipe.lr_multiplier(p / 100) for p in range(10, 101)]
    assert rising[0] == 0
    assert rising == sorted(rising)
    assert max(rising) == falling[0] == 1
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(0, abs=1e-12)
    assert recipe.lr_multiplier(0.55) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "knobs",
    [
        {"base_lr": -1.0},
        {"weight_decay": float("nan")},
        {"warmup": 1.0},
        {"clip": -0.1},
        {"layer_decay": 0.0},
    ],
    ids=lambda knobs: next(iter(knobs)),
)
def test_a_recipe_out_of_range_is_refused_by_its_key(knobs):
    (key,) = knobs
    for recipe in RECIPES:
        with pytest.raises(ValueError, match=f"optimizer.{key}=.*set optimizer.{key}="):
            recipe(**knobs)
    with pytest.raises(ValueError, match=r"optimizer.betas"):
        AdamW(betas=[0.9])
    with pytest.raises(ValueError, match=r"optimizer.momentum"):
        SGD(momentum=1.0)
    with pytest.raises(ValueError, match=r"optimizer.trust=0.*set optimizer.trust="):
        Lars(trust=0.0)


def test_momentum_and_betas_reach_torch(encoder):
    assert SGD(momentum=0.7).optimizer([encoder], batch_size=1).param_groups[0]["momentum"] == 0.7
    assert AdamW(betas=[0.8, 0.9]).optimizer([encoder], batch_size=1).param_groups[0]["betas"] == (
        0.8,
        0.9,
    )
    assert torch.optim.AdamW in type(AdamW().optimizer([encoder], batch_size=1)).__mro__


def two_parameters() -> tuple[torch.nn.Module, list[dict[str, torch.Tensor]]]:
    """A matrix and a vector, and three steps of gradients for them."""
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 4)
    return module, [{"weight": torch.randn(4, 5), "bias": torch.randn(4)} for _ in range(3)]


def trained(
    recipe, module: torch.nn.Module, gradients: list[dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    optimizer = recipe.optimizer([module], batch_size=256)
    for gradient in gradients:
        for name, parameter in module.named_parameters():
            parameter.grad = gradient[name].clone()
        optimizer.step()
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars_adapts_matrices_and_only_those_whatever_the_weight_decay(decay):
    """You et al. 2017, equation 6, with momentum after the adaptation; MAE's probe has no decay and
    is adapted all the same."""
    module, gradients = two_parameters()
    wanted = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    speed = {name: torch.zeros_like(value) for name, value in wanted.items()}
    for gradient in gradients:
        for name, value in wanted.items():
            if value.dim() > 1:
                ratio = 0.02 * value.norm() / (gradient[name].norm() + decay * value.norm())
                step = ratio * (gradient[name] + decay * value)
            else:
                step = gradient[name]
            speed[name] = 0.9 * speed[name] + step
            wanted[name] = value - 0.5 * speed[name]
    found = trained(Lars(base_lr=0.5, weight_decay=decay, trust=0.02), module, gradients)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb_takes_steps_as_long_as_the_matrix_and_adam_steps_for_vectors(decay):
    """You et al. 2020, algorithm 2."""
    module, gradients = two_parameters()
    wanted = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    first, second = (
        {name: torch.zeros_like(value) for name, value in wanted.items()} for _ in range(2)
    )
    for step, gradient in enumerate(gradients, 1):
        for name, value in wanted.items():
            first[name] = 0.9 * first[name] + 0.1 * gradient[name]
            second[name] = 0.95 * second[name] + 0.05 * gradient[name] ** 2
            update = (
                first[name] / (1 - 0.9**step) / ((second[name] / (1 - 0.95**step)).sqrt() + 1e-6)
            )
            if value.dim() > 1:
                update = update + decay * value
                update = update * value.norm() / update.norm()
            wanted[name] = value - 0.01 * update
    found = trained(Lamb(base_lr=0.01, weight_decay=decay), module, gradients)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize(
    ("name", "options", "names"),
    [
        (
            "vit_tiny_patch16_224",
            {**TINY, "depth": 3},
            ("patch_embed.proj.weight", "blocks.1.attn.qkv.weight", "norm.weight"),
        ),
        (
            "resnet18",
            {"layers": [1, 1, 1, 1]},
            ("conv1.weight", "layer2.0.conv1.weight", "layer4.0.conv1.weight"),
        ),
    ],
    ids=["vit", "resnet"],
)
def test_layers_learn_the_slower_the_earlier_they_come_and_heads_at_the_full_rate(
    name, options, names
):
    net, head = create(name=name, image_size=32, options=options), torch.nn.Linear(4, 3)
    groups = AdamW(base_lr=1.0, layer_decay=0.5).optimizer([net, head], batch_size=256).param_groups
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    named = dict(net.named_parameters())
    steps = 4 if "vit" in name else 5  # embedding and 3 blocks, stem and 4 blocks before the head
    assert [scale[id(named[f"model.{key}"])] for key in names] == [
        0.5**steps,
        0.5 ** (steps - 2),
        0.5,
    ]
    assert {scale[id(p)] for p in head.parameters()} == {1.0}
    assert groups[0]["lr_scale"] == 1.0  # the rate that metrics.csv shows
    if "vit" in name:
        assert scale[id(net.no_place)] == 0.5**steps


def test_frozen_layers_have_no_group_and_all_layers_are_refused():
    net = create(name="resnet18", image_size=32, options={"layers": [1, 1, 1, 1]})
    names = {id(p): name for name, p in net.named_parameters()}
    for recipe in (AdamW(frozen_layers=2), AdamW(frozen_layers=2, layer_decay=0.5)):
        groups = recipe.optimizer([net], batch_size=256).param_groups
        learned = {names[id(p)] for group in groups for p in group["params"]}
        kept = set(names.values()) - learned
        assert {name.split(".")[1] for name in kept} == {"conv1", "bn1", "layer1"}
    with pytest.raises(ValueError, match=r"frozen_layers=5: resnet18 has 5 layers"):
        AdamW(frozen_layers=5).optimizer([net], batch_size=256)
    with pytest.raises(ValueError, match="frozen_layers=-1"):
        AdamW(frozen_layers=-1)


def test_without_layer_decay_no_group_is_scaled(encoder):
    assert [
        key
        for group in AdamW().optimizer([encoder], batch_size=1).param_groups
        for key in group
        if key == "lr_scale"
    ] == []


@pytest.mark.parametrize("optimizer", ["lars", "lamb"])
def test_the_other_optimisers_resume_to_the_bit(optimizer, only_training, tmp_path):
    words = (f"optimizer={optimizer}", "trainer.checkpoint_steps=2")
    wanted = only_training(tmp_path / "unbroken", *words)
    run_dir = Path(shutil.copytree(wanted, tmp_path / "resumed"))
    shutil.copy(
        run_dir / "checkpoints" / "step-00000002.ckpt", run_dir / "checkpoints" / "last.ckpt"
    )
    only_training(run_dir, *words, "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())
