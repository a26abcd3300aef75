"""Colour treatments hide what a lens tells of a tile's place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_patches.sampler import ColourTreatment, PatchSampler
from ssl_patches.sampler.colour import DROPPED_NOISE

RGB = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def coloured(**treatment: float) -> Tensor:
    """Tiles (64, 4, 3, 8, 8) in 0..1 of noise images under a treatment."""
    torch.manual_seed(0)
    sampler = PatchSampler(image_size=16, tile=8, colour=ColourTreatment(**treatment), **RGB)
    return sampler(torch.rand(64, 3, 16, 16)).tiles


def untreated() -> Tensor:
    torch.manual_seed(0)
    return PatchSampler(image_size=16, tile=8, **RGB)(torch.rand(64, 3, 16, 16)).tiles


def test_grey_tiles_have_equal_channels_that_are_the_mean():
    grey = coloured(grey=1.0)
    assert torch.equal(grey[:, :, :1].expand_as(grey), grey)
    assert torch.allclose(grey, untreated().mean(2, keepdim=True).expand_as(grey), atol=1e-6)


def test_drop_leaves_one_channel_per_image_and_faint_noise_in_the_others():
    kept = (coloured(drop=1.0) == untreated()).flatten(3).all(3)  # (64, 4, 3)
    assert (kept.sum(2) == 1).all()
    assert (kept == kept[:, :1]).all()  # the same in all tiles of an image
    assert kept[:, 0].sum(0).min() > 8  # each channel at times
    others = coloured(drop=1.0)[~kept].flatten(1)
    assert (others.amax(1) - others.amin(1)).max() <= DROPPED_NOISE * 1.0001
    assert (
        others.std(1).min() > 0
    )  # a flat channel would be divided by a deviation of zero elsewhere


def test_projection_kills_green_against_magenta_and_keeps_the_rest():
    direction = torch.tensor([-1.0, 2.0, -1.0])
    before, after = untreated(), coloured(project=1.0)
    assert torch.einsum("bkchw,c->bkhw", after, direction).abs().max() < 1e-5
    assert torch.einsum("bkchw,c->bkhw", before, direction).abs().max() > 1
    for kept in (
        torch.tensor([1.0, 1.0, 1.0]),
        torch.tensor([1.0, 0.0, -1.0]),
    ):  # grey, red against blue
        assert torch.allclose(
            *(torch.einsum("bkchw,c->bkhw", tiles, kept) for tiles in (before, after)), atol=1e-5
        )


def test_at_most_one_treatment_applies_to_an_image_each_as_often_as_asked():
    torch.manual_seed(0)
    tiles = torch.rand(4000, 1, 3, 2, 2)
    torch.manual_seed(1)
    treated = ColourTreatment(grey=0.2, drop=0.3, project=0.1)(tiles)
    same = (treated == tiles).flatten(2).all(2)[:, 0]
    grey = (treated == treated[:, :, :1]).flatten(1).all(1)
    dropped = ((treated == tiles).flatten(3).all(3).sum(2) == 1)[:, 0]
    for found, expected in ((same, 0.4), (grey, 0.2), (dropped, 0.3)):
        assert (
            abs(found.float().mean() - expected) < 4.5 * (expected * (1 - expected) / 4000) ** 0.5
        )


@pytest.mark.parametrize("key", ["grey", "drop", "project"])
def test_colour_probabilities_outside_0_and_1_are_refused_by_key(key: str):
    for value in (-0.1, 1.1):
        with pytest.raises(
            ValueError,
            match=(
                rf"sampler\.colour\.{key}={value}: .* from 0 to 1; set sampler\.colour\.{key}=0\.5"
            ),
        ):
            ColourTreatment(**{key: value})
    with pytest.raises(ValueError, match="exceed 1"):
        ColourTreatment(grey=0.5, drop=0.3, project=0.3)
    with pytest.raises(ValueError, match=r"channel_shift=-1: 0 or more"):
        ColourTreatment(channel_shift=-1)
