"""The contracts of ssl_patches on this package's classes, and what is special about this task."""

from functools import partial

import pytest
import torch
from patch_counting import Counting, vit_registers
from patch_counting.task import shrunk

from ssl_patches.testing import check_encoder, check_task
from ssl_patches.types import PatchGrid

SMALL = partial(vit_registers, depth=2, dim=48)


def test_the_task_keeps_the_contracts():
    check_task(partial(Counting, counts=8), sampler={"rows": 2, "cols": 2})


def test_the_encoder_keeps_the_contracts():
    check_encoder(partial(SMALL, patch_size=4))


def test_all_tiles_together_are_the_picture_made_smaller():
    line = torch.arange(8.0)
    picture = (line[:, None] * 10 + line).expand(1, 3, 8, 8)
    tiles = torch.stack([picture[..., y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4)], 1)
    small = shrunk(tiles, PatchGrid(rows=2, cols=2, tile=4))
    assert torch.allclose(small.mean(), picture.mean())
    assert torch.allclose(
        small[..., 1:, :] - small[..., :-1, :], torch.tensor(20.0), atol=5
    )  # rows are tens, two at a time
    assert (small[..., 1:] > small[..., :-1]).all()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [({"margin": 0.0}, "task.margin=0.0"), ({"grid": (2, 3)}, "sampler.cols=3")],
)
def test_what_cannot_be_is_refused(knobs, message):
    rows, cols = knobs.pop("grid", (2, 2))
    with pytest.raises(ValueError, match=message):
        Counting(dim=8, grid=PatchGrid(rows=rows, cols=cols, tile=4), **knobs)
