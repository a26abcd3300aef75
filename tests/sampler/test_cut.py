"""Tiles are the pixels that a plain cut takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl_patches.sampler import ColourTreatment, PatchSampler
from ssl_patches.sampler.cut import scaled_tiles


def plainly(sampler: PatchSampler, images: Tensor) -> Tensor:
    """The tiles as they would be cut in the plainest way: a float image whole, an index per pixel,
    one step after another."""
    floats = images.float() / 255 if images.dtype == torch.uint8 else images
    boxes, colour = sampler.boxes(len(images), images.device), sampler.colour
    offsets = colour.offsets(boxes, images.shape[1]) if colour else None
    if sampler.extents == (sampler.tile, sampler.tile):
        corner = boxes[:, :, None, :2] + (0 if offsets is None else offsets)
        line, batch, channel = (
            torch.arange(sampler.tile),
            torch.arange(len(images)),
            torch.arange(images.shape[1]),
        )
        rows = corner[..., 0].long()[..., None, None] + line[:, None]
        cols = corner[..., 1].long()[..., None, None] + line
        tiles = floats[batch.view(-1, 1, 1, 1, 1), channel.view(-1, 1, 1), rows, cols]
    else:
        tiles = scaled_tiles(floats, boxes, sampler.tile, offsets)
    if colour:
        draw = torch.rand(len(tiles), 1, 1, 1, 1)
        tiles = (
            torch.where(draw < colour.grey, tiles.mean(2, keepdim=True), tiles)
            if tiles.shape[2] == 3
            else tiles
        )
    if not sampler.standardise:
        return (tiles - sampler.mean) / sampler.std
    flat = tiles.double().flatten(2)
    deviation, mean = torch.std_mean(flat, dim=2, correction=0, keepdim=True)
    return (
        ((flat - mean) / deviation.clamp(min=1 / (255 * flat.shape[2] ** 0.5)))
        .view_as(tiles)
        .float()
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([1, 3, 5]),
    tile=st.integers(1, 9),
    gap=st.integers(0, 2),
    shift=st.integers(0, 2),
    grey=st.booleans(),
    scales=st.sampled_from([(1.0, 1.0), (1.0, 1.0), (0.7, 0.9)]),
    standardise=st.booleans(),
    levels=st.booleans(),
    strided=st.booleans(),
    together=st.sampled_from([1, 10**3, 10**9]),
)
def test_tiles_equal_those_cut_plainly(
    channels: int,
    tile: int,
    gap: int,
    shift: int,
    grey: bool,
    scales: tuple[float, float],
    standardise: bool,
    levels: bool,
    strided: bool,
    together: int,
):
    torch.manual_seed(0)
    images = torch.randint(256, (5, channels, 40, 40), dtype=torch.uint8)
    images = images if levels else images.float() / 255
    images = images.to(memory_format=torch.channels_last) if strided else images
    before = images.clone()
    colour = ColourTreatment(grey=0.5 * grey, channel_shift=shift) if shift or grey else None
    statistics = {"mean": (0.5,) * channels, "std": (0.2,) * channels}
    sampler = PatchSampler(
        image_size=40,
        rows=3,
        cols=3,
        tile=tile,
        gap=gap,
        scales=scales,
        standardise=standardise,
        colour=colour,
        **statistics,
    )
    torch.manual_seed(1)
    plain = plainly(sampler, images)
    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ssl_patches.sampler.patch_sampler.IN_CACHE", together
        )  # the images of a batch one by one, in parts, all at once
        found = sampler(images).tiles
    assert found.dtype == torch.float32
    tolerance = (
        2e-6 if scales == (1.0, 1.0) else 2e-5
    )  # fractions of a pixel are told from nearer by
    assert (found - plain).abs().max() <= tolerance * max(1.0, plain.abs().max())
    assert torch.equal(images, before)


def test_the_plain_cut_notices_a_tile_that_is_off_by_a_pixel():
    images = torch.randint(256, (2, 3, 40, 40), dtype=torch.uint8)
    sampler = PatchSampler(image_size=40, rows=3, cols=3, tile=6, standardise=True).eval()
    assert (sampler(images.roll(1, 3)).tiles - plainly(sampler, images)).abs().max() > 0.1
