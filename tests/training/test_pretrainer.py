"""A training step: each fast path equals the plain one, and what a step does may not grow without
anyone noticing."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from ops import Ops
from small import REPOSITORY
from timm.models.vision_transformer import Block
from torch import nn

from ssl_patches.tasks.blocks import Decoder
from ssl_patches.training.budget import count_flops

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from ours import our_step, pretrainer, same_weights
from peers import ReferenceMAE, Shape

TINY = Shape(32, 8, 48, 2, 3, 64, 2, 2, "vit_tiny_patch16_224")
FLOPS, OPS, BREAKS = 12_056_768, 855, 0
"""Of a step of TINY: change them together with what makes a step cheaper, or with the reason why it
costs more."""


@pytest.fixture
def module():
    torch.manual_seed(0)
    return pretrainer(TINY, batch=4)


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def outcome(module, compute) -> tuple[torch.Tensor, list[torch.Tensor]]:
    module.zero_grad()
    value = compute()
    value.square().mean().backward()
    return value.detach(), [p.grad.clone() for p in module.parameters()]


def apart(left, right) -> float:
    """Largest difference of value and of each gradient, as a share of the largest entry."""
    pairs = [(left[0], right[0]), *zip(left[1], right[1], strict=True)]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-3)) for a, b in pairs)


@pytest.mark.parametrize("fused", [True, False])
def test_last_block_for_some_tokens_is_the_block(fused):
    torch.manual_seed(0)
    decoder, entered = Decoder(dim=48, width=64, depth=2, heads=2, out=12), torch.randn(3, 16, 64)
    for block in decoder.blocks:
        block.attn.fused_attn = fused
    decoder.enter.requires_grad_(False)
    module = nn.ModuleList([decoder.blocks, decoder.norm, decoder.leave])

    def plain(first: int) -> torch.Tensor:
        x = Block.forward(decoder.blocks[1], decoder.blocks[0](entered))
        return decoder.leave(decoder.norm(x))[:, first:]

    quick = outcome(module, lambda: decoder.finish(entered, 5))
    assert apart(quick, outcome(module, lambda: plain(5))) < 1e-6
    shifted = outcome(module, lambda: plain(4))
    assert (
        apart((quick[0], quick[1]), (shifted[0][:, :-1], shifted[1])) > 1e-2
    )  # a block that answers for others is seen


def test_our_mae_is_the_reference(module, images):
    """Same weights, same hidden patches: same loss, same gradients."""
    torch.manual_seed(2)
    reference = ReferenceMAE(TINY, fused=True)
    same_weights(module, reference)
    sampler, task = module.samplers["masked"], module.tasks["masked"]
    noise = torch.rand(4, 16)
    order = noise.argsort(1)
    cells = order[:, :4].sort(1).values, order[:, 4:].sort(1).values
    task.draw = lambda count, device: cells
    loss = module.losses(images)[0]
    pixels = (images.float() / 255 - sampler.mean) / sampler.std
    theirs = reference(pixels, noise)
    assert float(loss.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    loss.backward()
    theirs.backward()
    pairs = zip(
        module.encoder.model.blocks.parameters(), reference.blocks.parameters(), strict=True
    )
    assert all(torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6) for a, b in pairs)
    assert torch.allclose(
        task.hidden_token.grad, reference.mask_token.grad.view(-1), rtol=1e-4, atol=1e-6
    )
    task.draw = lambda count, device: tuple(part.roll(1, 0) for part in cells)
    assert (
        abs(float(module.losses(images)[0].detach()) - float(theirs.detach())) > 1e-4
    )  # other cells: another loss


def test_guard_flops_per_image(module, images):
    assert count_flops(module, lambda twin, given: twin.losses(given)[0], images) == FLOPS


def test_guard_ops_and_host_syncs_per_step(module, images):
    run = our_step(module, images, bf16=True)
    run()  # makes the optimiser's state
    with Ops() as ops:
        run()
    assert ops.syncs() == []
    assert ops.count.total() <= OPS, ops.count.most_common(12)


def test_guard_sees_a_host_sync(module, images):
    whole = module.losses
    module.losses = lambda given: (whole(given)[0] * whole(given)[0].item(), {})
    with Ops() as ops:
        our_step(copy.copy(module), images, bf16=False)()
    assert ops.count["aten::_local_scalar_dense"] == 1


def test_guard_graph_breaks(module, images):
    patches = module.samplers["masked"](images)
    found = torch._dynamo.explain(module.tasks["masked"])(patches, module.encoder)
    assert found.graph_break_count == BREAKS


def test_encoder_flops_follow_visible_tokens():
    """A ViT/16 at 224 px, 75 % hidden: at most 27 % of all-visible, encoder alone, forward and
    backward."""
    shape = Shape(224, 16, 48, 2, 3, 64, 1, 1, "vit_tiny_patch16_224")
    module = pretrainer(shape, batch=1)
    patches = module.samplers["masked"](torch.zeros(1, 3, 224, 224, dtype=torch.uint8))

    def cost(keep: int) -> float:
        cells = torch.arange(keep)[None]
        return count_flops(
            module.encoder,
            lambda twin, _: twin(patches.select(cells)).tiles.square().mean(),
            torch.zeros(1),
        )

    assert cost(49) / cost(196) <= 0.27


@pytest.mark.parametrize(("blind", "shown"), [(True, "blind"), (False, "places")])
def test_a_step_tells_the_encoder_what_it_has_shown(module, images, blind, shown):
    for _, _, task in module.named_parts():
        task.always_blind = blind
    assert module.encoder.shown == "nothing"
    module.losses(images)[0].backward()
    assert module.encoder.shown == "nothing", "computing a loss changes nothing"
    module.on_before_optimizer_step(module.configure_optimizers())
    assert module.encoder.shown == shown
