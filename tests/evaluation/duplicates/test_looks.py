"""Looks tell apart what an encoder may not: light, contrast, detail, colour."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.evaluation.duplicates.looks import FAINT, LOOKS, looks_of

LIGHT, CONTRAST, FINE, MIDDLE, COARSE, COLOUR, SPREAD = range(LOOKS)


def flat(value, channels=3, side=64):
    return torch.full((channels, side, side), value, dtype=torch.uint8)


def chequered(width, side=64):
    at = torch.arange(side) // width
    plane = ((at[:, None] + at[None]) % 2 * 255).to(torch.uint8)
    return plane.expand(3, side, side)


def test_one_colour_has_light_and_nothing_else():
    black, white = looks_of(torch.stack([flat(0), flat(255)]))
    assert (black[LIGHT].item(), white[LIGHT].item()) == (0, 1)
    assert black[CONTRAST:COLOUR].exp().tolist() == pytest.approx([FAINT] * 4)
    assert black[CONTRAST:].tolist() == white[CONTRAST:].tolist()


def test_detail_is_told_at_the_scale_at_which_it_is():
    fine, middle, coarse = looks_of(torch.stack([chequered(width) for width in (1, 2, 4)]))
    assert fine[FINE] > middle[FINE] > coarse[FINE]
    assert middle[MIDDLE] > coarse[MIDDLE] > fine[MIDDLE]
    assert coarse[COARSE] > middle[COARSE] == fine[COARSE]


def test_colour_is_that_of_the_pixels_and_grey_has_none():
    red, grey = flat(0), flat(128)
    red[0] = 255
    half = flat(128)
    half[0, :, :32] = 255
    red, grey, half = looks_of(torch.stack([red, grey, half]))
    assert red[COLOUR] == 1 > half[COLOUR] > grey[COLOUR] == 0
    assert half[SPREAD] > red[SPREAD] == grey[SPREAD]


@pytest.mark.parametrize(("channels", "side"), [(1, 64), (5, 32), (3, 1), (3, 2), (3, 200)])
def test_any_number_of_channels_and_pixels_gives_numbers(channels, side):
    images = torch.randint(0, 256, (2, channels, side, side), dtype=torch.uint8)
    found = looks_of(images)
    assert found.shape == (2, LOOKS)
    assert found.isfinite().all()


def test_a_larger_copy_of_an_image_looks_alike():
    image = chequered(8)[None]
    larger = image.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.allclose(looks_of(image), looks_of(larger), atol=1e-4)
