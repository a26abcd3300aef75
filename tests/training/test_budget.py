"""Budgets and the FLOPs that they are counted in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.masked import Masked
from ssl_patches.training.budget import Budget, count_flops


def test_each_budget_gives_the_steps_that_use_it_up():
    size = {"dataset": 1000, "batch_size": 64, "flops_per_image": 2e6}
    assert Budget(images=640).steps(**size) == 10
    assert Budget(images=641).steps(**size) == 11
    assert Budget(epochs=2).steps(**size) == 32
    assert Budget(flops=2e6 * 64 * 5).steps(**size) == 5
    assert Budget(seconds=3).steps(**size) is None


def test_no_budget_is_twenty_epochs_and_two_are_refused():
    assert Budget().steps(dataset=100, batch_size=10, flops_per_image=1.0) == 200
    with pytest.raises(ValueError, match=r"budget.images=5, budget.epochs=1: only one"):
        Budget(images=5, epochs=1)
    with pytest.raises(ValueError, match=r"budget.images=0"):
        Budget(images=0)


def test_flops_of_a_linear_map_are_those_of_its_three_products():
    net = nn.Sequential(nn.Linear(8, 16, bias=False), nn.Linear(16, 4, bias=False))
    counted = count_flops(net, lambda twin, x: twin(x).sum(), torch.rand(5, 8))
    # forward, gradient of the weights; the gradient of the input for the second map only
    assert counted == 2 * (8 * 16 * 2 + 16 * 4 * 3)


def test_attention_on_a_cpu_is_counted_with_every_version_of_torch():
    query = nn.Parameter(torch.rand(1, 2, 8, 4))
    net = nn.ParameterList([query])
    attend = nn.functional.scaled_dot_product_attention
    counted = count_flops(
        net, lambda twin, x: attend(twin[0], twin[0], x).sum(), torch.rand(1, 2, 8, 4)
    )
    assert counted == 2 * 2 * 8 * 8 * 4 * (2 + 5)  # the backward pass computes the weights again


def test_counting_leaves_weights_gradients_and_random_state_alone():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    count_flops(
        net,
        lambda twin, x: twin(x).sum(),
        torch.rand(6, 4, generator=torch.Generator().manual_seed(0)),
    )
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_encoder_flops_follow_the_visible_tokens():
    options = {"depth": 4, "embed_dim": 96, "num_heads": 3}
    encoder = create(name="vit_tiny_patch16_224", image_size=32, patch_size=4, options=options)
    sampler = PatchSampler(image_size=32, unit=4)
    cells = torch.arange(64).expand(2, -1)
    flops = {
        keep: count_flops(
            encoder,
            lambda twin, x, keep=keep: twin(sampler(x).select(cells[:, :keep])).tiles.sum(),
            torch.rand(2, 3, 32, 32),
        )
        for keep in (16, 64)
    }
    assert flops[16] / flops[64] <= 0.27


def test_the_decoder_is_counted():
    encoder = create(
        name="vit_tiny_patch16_224",
        image_size=32,
        patch_size=8,
        options={"depth": 1, "embed_dim": 48, "num_heads": 3},
    )
    sampler = PatchSampler(image_size=32, unit=8)

    def cost(depth: int) -> float:
        module = nn.ModuleDict(
            {"encoder": encoder, "task": Masked(dim=48, grid=sampler.grid, depth=depth)}
        )
        return count_flops(
            module,
            lambda twin, x: twin["task"](sampler(x), twin["encoder"]).loss,
            torch.rand(2, 3, 32, 32),
        )

    block = cost(2) - cost(1)
    assert (
        block >= 16 * 12 * 64**2 * 2 * 3
    )  # products of one block of width 64 on 16 tokens, forward and backward
