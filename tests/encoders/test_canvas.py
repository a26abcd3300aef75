"""Tiles on a canvas lie where their boxes say; a complete view is put together again."""

from __future__ import annotations

import torch

from ssl_patches.encoders.canvas import canvas, positions, whole_view
from ssl_patches.sampler import PatchSampler


def dense(images: torch.Tensor, tile: int):
    cutter = PatchSampler(image_size=images.shape[-1], unit=tile, mean=[0.0] * 3, std=[1.0] * 3)
    return cutter.eval()(images)


def test_all_tiles_on_a_canvas_and_put_together_are_the_view():
    images = torch.rand(2, 3, 24, 24)
    patches = dense(images, 8)
    assert torch.allclose(canvas(patches, 8), images)
    assert torch.allclose(whole_view(patches), images)


def test_what_is_not_shown_or_blind_is_zero():
    patches = dense(torch.rand(2, 3, 16, 16) + 1, 8)
    shown = patches.select(torch.tensor([[0, 3], [1, 2]]))
    found = canvas(shown.blind(torch.tensor([[1], [0]])), 8)
    assert (found[0, :, :8, :8] >= 1).all()
    assert found[0].count_nonzero() == 3 * 64
    assert found[1, :, 8:, :8].count_nonzero() == 3 * 64
    assert found[1].count_nonzero() == 3 * 64


def test_positions_are_those_that_a_box_covers():
    patches = dense(torch.rand(1, 3, 16, 16), 8)
    found = positions(patches, 4)
    assert found.shape == (1, 4, 4, 4)
    assert found.sum((2, 3)).tolist() == [[4] * 4]
    assert found[0, 3, 2:, 2:].all()
