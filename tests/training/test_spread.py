"""The spread option: its share of the gradient is what was asked for, for every task, for good."""

from __future__ import annotations

import pytest
import torch

from ssl_patches import config
from ssl_patches.config import files as conf_files
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.training import build as build_run
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.spread import Spread

VIT = (
    "encoder.options={depth:1,embed_dim:48,num_heads:3}",
    "encoder.patch_size=8",
    "image_size=32",
)


def module_of(task: str, *words: str) -> Pretrainer:
    given = [f"task={task}", *VIT, "spread=logdet", *words]
    cfg = config.request("pretrain", given, supplied=SUPPLIED, schema=PRETRAIN)
    parts = build_run.components(cfg)
    return Pretrainer(
        encoder=parts.encoder,
        parts=parts.parts,
        views=parts.views,
        recipe=parts.recipe,
        spread=parts.spread,
        batch_size=16,
    ).train()


@pytest.mark.parametrize("task", conf_files.options("task"))
def test_every_task_hands_on_the_features_that_its_loss_depends_on(task):
    torch.manual_seed(0)
    module = module_of(task)
    module.losses(torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8))
    assert len(module.spread_ratios) == 1
    assert module.spread_ratios[0] > 0


def test_the_penalty_has_the_share_of_the_gradient_that_was_asked_for():
    torch.manual_seed(0)
    features = torch.randn(64, 8, requires_grad=True)
    loss, spread = (
        (features.square().sum(1) - 1).square().mean(),
        Spread(share=0.25, pilot=4).train(),
    )
    for step in range(4):
        torch.manual_seed(1)
        _, _, ratio = spread(loss, features, step=step)
        spread.settle([ratio], step=step)
    torch.manual_seed(1)
    extra, _, after_pilot = spread(loss, features, step=4)
    assert after_pilot is None
    task, penalty = (
        torch.autograd.grad(part, features, retain_graph=True)[0].norm() for part in (loss, extra)
    )
    assert float(penalty / (task + penalty)) == pytest.approx(0.25, rel=1e-3)


def test_the_weight_is_measured_in_the_pilot_and_then_kept():
    spread, features = Spread(pilot=2).train(), torch.randn(32, 8, requires_grad=True)
    weights = []
    for step in range(4):
        loss = features.square().mean() * (step + 1)
        _, _, ratio = spread(loss, features, step=step)
        spread.settle([ratio] if ratio is not None else [], step=step)
        weights.append(float(spread.weight))
    assert weights[0] > 0
    assert weights[1] != weights[0]
    assert weights[2] == weights[3] == weights[1]
    assert "weight" in spread.state_dict(), "a resumed run keeps it"


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"share": 0.0}, "spread.share"),
        ({"share": 1.0}, "spread.share"),
        ({"pilot": 0}, "spread.pilot"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(knobs, said):
    with pytest.raises(ValueError, match=said):
        Spread(**knobs)
