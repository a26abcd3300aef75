"""The picture of tiles shows them where they were cut."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.sampler import PatchSampler
from ssl_patches.training.figures.task import PAPER
from ssl_patches.training.figures.tiles import laid_at_boxes


def test_tiles_lie_where_they_were_cut():
    """Where a tile lies the picture is the view, everywhere else it is paper."""
    torch.manual_seed(0)
    line = torch.arange(48.0)
    images = torch.stack(
        [line[:, None].expand(48, 48), line.expand(48, 48), line[:, None] + line]
    ).to(torch.uint8)[None]
    for knobs in ({"rows": 3, "cols": 3, "gap": 2}, {"rows": 2, "cols": 2, "tile": 10, "gap": 5}):
        sampler = PatchSampler(image_size=48, **knobs).train()
        canvas = laid_at_boxes(sampler(images), sampler)
        scale = canvas.shape[-1] // 48
        view = (images / 255).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        paper = (canvas == PAPER).all(1, keepdim=True).expand_as(canvas)
        assert torch.allclose(canvas[~paper], view[~paper], atol=1e-5)
        assert (~paper).float().mean() == pytest.approx(
            sampler.grid.cells * (sampler.tile / 48) ** 2, abs=1e-6
        )
