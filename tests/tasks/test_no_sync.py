"""A forward pass of no task waits for the device: what that costs is seen on a GPU only."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from ops import Ops

from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.agree import Agree
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.tasks.masked import Masked
from ssl_patches.tasks.position import Position
from ssl_patches.tasks.relation import Relation
from ssl_patches.tasks.relative import Relative
from ssl_patches.tasks.subsets import Subsets
from ssl_patches.testing.pairs import put_together, small_encoders
from ssl_patches.types import Views

CUT = {"rows": 3, "cols": 3, "gap": 2}
TASKS = {
    "agree": Agree,
    "agree, sigreg": partial(Agree, spread="sigreg"),
    "agree, logdet": partial(Agree, spread="logdet"),
    "subsets": Subsets,
    "masked": Masked,
    "position": Position,
    "relation": Relation,
    "relative": partial(Relative),
    "jigsaw": partial(Jigsaw, permutations=6),
}
APART = ("relative", "jigsaw")


@pytest.mark.parametrize("family", ["vit", "resnet"])
@pytest.mark.parametrize("task", TASKS)
def test_no_task_waits_for_the_device(task: str, family: str) -> None:
    try:
        pair = put_together(
            TASKS[task],
            small_encoders()[family],
            sampler=CUT if task in APART else None,
            image_size=48,
        )
        patches = pair.patches()
        pair.task(patches, pair.encoder)  # what is made once is made
    except ValueError as error:  # a pair that the program refuses
        pytest.skip(str(error))
    with Ops() as ops:
        pair.task(patches, pair.encoder).loss.backward()
    assert ops.syncs() == []


@pytest.mark.parametrize("spread", ["tcr", "sigreg", "logdet"])
def test_positions_that_not_all_views_show_are_left_out_without_a_wait(spread: str) -> None:
    net = small_encoders()["vit"](image_size=32)
    cutter = PatchSampler(image_size=32, unit=net.unit, multiple=net.multiple)
    task = Agree(dim=net.dim, grid=cutter.grid, positions=True, spread=spread)
    box = torch.tensor([[0.0, 0.0, 32.0, 32.0], [8.0, 4.0, 32.0, 32.0]]).repeat(4, 1)
    patches = cutter(Views(torch.rand(8, 3, 32, 32), 2, 2, boxes=box))
    with Ops() as ops:
        task(patches, net).loss.backward()
    assert ops.syncs() == []


def test_the_guard_sees_rows_that_are_picked_by_a_mask() -> None:
    values = torch.arange(6.0)
    with Ops() as ops:
        values[values > 2]
    assert ops.syncs() != []
