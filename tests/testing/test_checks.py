"""``ssl_patches.testing`` passes what keeps the contracts and names each contract that something
breaks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from ssl_patches.encoders import TokenEncoder
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.masked import Masked
from ssl_patches.tasks.relative import Relative
from ssl_patches.testing import ContractBroken, check_encoder, check_task, leak_probe
from ssl_patches.types import Encoded, PatchBatch, Picture, TaskOutput

APART = {"rows": 2, "cols": 2}
VIT = {
    "name": "vit_tiny_patch16_224",
    "patch_size": 4,
    "options": {"depth": 2, "embed_dim": 48, "num_heads": 3},
}
ONE = {"vit": partial(TokenEncoder, **VIT)}


class Mean(PretextTask):
    """Sound: which colour has a tile in the mean?"""

    def __init__(self, *, dim: int, grid, hidden: int = 16) -> None:
        super().__init__(dim=dim, grid=grid)
        self.head = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    def guess(self, patches: PatchBatch, encoder):
        return self.head(encoder.alone(patches).tiles)

    def forward(self, patches: PatchBatch, encoder) -> TaskOutput:
        loss = (self.guess(patches, encoder) - patches.tiles.mean((-2, -1))).square().mean()
        return TaskOutput(loss, {"error": loss.detach()})


def broken_by(task, **options) -> list[str]:
    with pytest.raises(ContractBroken) as error:
        check_task(task, sampler=APART, encoders=ONE, **options)
    assert str(error.value) == "\n".join(error.value.problems)
    return error.value.problems


def test_sound_tasks_and_encoders_pass():
    check_task(Mean, sampler=APART)
    check_encoder(ONE["vit"])


class KeepsTheGraph(Mean):
    def forward(self, patches, encoder):
        output = super().forward(patches, encoder)
        return TaskOutput(output.loss, {"error": output.loss})


class ForgetsChance(Mean):
    def forward(self, patches, encoder):
        output = super().forward(patches, encoder)
        return TaskOutput(output.loss, {"accuracy": output.loss.detach()})


class TrainsTheHeadOnly(Mean):
    def guess(self, patches, encoder):
        return self.head(encoder.alone(patches).tiles.detach())


class DrawsElsewhere(Mean):
    def forward(self, patches, encoder):
        return super().forward(
            replace(patches, tiles=patches.tiles * (1 + 1e-3 * np.random.rand())), encoder
        )


class SaysTheSame(Mean):
    def forward(self, patches, encoder):
        output = super().forward(patches, encoder)
        return TaskOutput(output.loss / output.loss.detach(), output.metrics)


class DrawsBeside(Mean):
    def preview(self, patches, encoder):
        cells = torch.arange(1, self.grid.cells + 1).expand(len(patches.tiles), -1)
        return (Picture("tiles", patches.tiles, cells),)


@pytest.mark.parametrize(
    ("broken", "contract"),
    [
        (
            KeepsTheGraph,
            "metrics are detached scalars beside chance (vit): metric 'error' has a gradient",
        ),
        (
            ForgetsChance,
            (
                "metrics are detached scalars beside chance (vit): metric 'accuracy' has no chance"
                " level"
            ),
        ),
        (
            TrainsTheHeadOnly,
            "every exported parameter is trained (vit): exported parameters without a gradient",
        ),
        (SaysTheSame, "the loss falls (vit): the loss went from 1 to 1 in 8 steps on one batch"),
        (DrawsElsewhere, "draws follow torchs seed (vit): the same seed gave the losses"),
        (
            DrawsBeside,
            (
                "preview lays tiles on cells (vit): preview 'tiles' names cells that the grid does"
                " not have"
            ),
        ),
    ],
)
def test_a_broken_task_is_caught_and_the_contract_named(broken, contract):
    assert [problem[: len(contract)] for problem in broken_by(broken)] == [contract]


def test_a_knob_that_cannot_be_checked_is_caught():
    class Careless(Mean):
        def __init__(self, *, dim: int, grid, hidden=16, width: int) -> None:
            super().__init__(dim=dim, grid=grid, hidden=width)

    assert broken_by(Careless) == [
        "knob 'hidden' has no annotation; values from a configuration are checked against it",
        "knob 'width' has no default; give one, or every command has to",
    ]


def test_tiles_that_no_encoder_takes_are_told():
    (problem,) = broken_by(Mean, image_size=6)
    assert problem.startswith("no encoder takes these tiles: vit: ")


class CountsSlots(TokenEncoder):
    def alone(self, patches: PatchBatch) -> Encoded:
        encoded = super().alone(patches)
        return replace(
            encoded, tiles=encoded.tiles + 0.001 * torch.arange(encoded.tiles.shape[1])[:, None]
        )


class IgnoresPlaces(TokenEncoder):
    def forward(self, patches: PatchBatch) -> Encoded:
        return super().forward(replace(patches, boxes=torch.zeros_like(patches.boxes)))


class ExportsAnother(TokenEncoder):
    def export(self, image_size: int) -> nn.Module:
        return TokenEncoder(**VIT, image_size=image_size).export(image_size)


@pytest.mark.parametrize(
    ("broken", "contracts"),
    [
        (CountsSlots, {"blind tiles carry no order"}),
        (IgnoresPlaces, {"placed tiles differ by place but not by slot"}),
        (ExportsAnother, {"features equal the export"}),
    ],
)
def test_a_broken_encoder_is_caught_and_the_contract_named(broken, contracts):
    with pytest.raises(ContractBroken) as error:
        check_encoder(partial(broken, **VIT))
    assert {problem.partition(" (")[0] for problem in error.value.problems} == contracts


def test_an_encoder_that_reads_boxes_of_hidden_tiles_leaks():
    class Peeks(TokenEncoder):
        def scrambled(self, patches: PatchBatch) -> Encoded:
            return self(patches)

    ask = {
        "task": partial(Relative, hidden=64),
        "sampler": partial(PatchSampler, **APART, gap=1, tile=4),
    }
    tiny = {**VIT, "options": {"depth": 1, "embed_dim": 32, "num_heads": 2}}
    assert any(answer.leaks for answer in leak_probe(encoder=partial(Peeks, **tiny), **ask))
    assert not any(
        answer.leaks for answer in leak_probe(encoder=partial(TokenEncoder, **tiny), **ask)
    )


def test_a_task_without_accuracy_cannot_leak_and_is_refused():
    with pytest.raises(ValueError, match="task=Masked: reports no accuracy"):
        leak_probe(partial(Masked, width=32, heads=2, depth=1), steps=1)
