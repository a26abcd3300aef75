"""Cut tiles from a batch of images by copying rows of pixels; levels are kept.

Of the flat pixels of a batch every stretch as long as a tile is wide is a row of one overlapping
view; a tile is some of those rows. That copies whole rows where an index per pixel would move them
one by one (15 times as slow on a CPU). Tiles that touch are a permutation of the image, in which a
row of a tile is moved as one number of as many bytes, if there is one. All that is returned lies in
memory of its own, so that it may be changed in place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_patches.types import PatchGrid, channels_last
from ssl_patches.views.resample import as_float, reading_weights

# what moves 16, 8, 4 and 2 bytes at once
WORDS = (torch.complex128, torch.int64, torch.int32, torch.int16)


def dense_tiles(images: Tensor, grid: PatchGrid) -> Tensor:
    """Cut (B, C, rows * t, cols * t) into (B, K, C, t, t), tiles that touch.

    A copy in another order; the tiles are channels-last where the images are.
    """
    count, channels = images.shape[:2]
    if channels_last(images):
        # one plane, whose pixels are all channels
        flat = images.movedim(1, -1).reshape(count, 1, grid.rows * grid.tile, -1)
        tiles = _cut_planes(flat, grid, grid.tile * channels)
        return tiles.view(count, grid.cells, grid.tile, grid.tile, channels).movedim(-1, 2)
    return _cut_planes(images, grid, grid.tile).view(
        count, grid.cells, channels, grid.tile, grid.tile
    )


def _cut_planes(planes: Tensor, grid: PatchGrid, row: int) -> Tensor:
    """Cut planes (B, C, rows * t, cols * row) into (B, rows, cols, C, t, row), in memory of its
    own."""
    # flat: an axis of one plane may have any stride
    words = _in_words(planes.contiguous().flatten(1), row)
    blocks = words.view(*planes.shape[:2], grid.rows, grid.tile, grid.cols, -1).permute(
        0, 2, 4, 1, 3, 5
    )
    return blocks.clone(memory_format=torch.contiguous_format).flatten(-2).view(planes.dtype)


def _in_words(images: Tensor, row: int) -> Tensor:
    """View the memory as the widest numbers of which a whole count is a row of a tile.

    As it is where it is not the CPU's.
    """
    if images.device.type != "cpu":
        return images
    row, start = row * images.element_size(), images.storage_offset() * images.element_size()
    return next(
        (
            images.view(word)
            for word in WORDS
            if row % word.itemsize == 0 and start % word.itemsize == 0
        ),
        images,
    )


def gather_tiles(images: Tensor, boxes: Tensor, tile: int, offsets: Tensor | None = None) -> Tensor:
    """Cut ``boxes`` (B, K, 4), in whole pixels, from (B, C, H, W) -> (B, K, C, tile, tile).

    The dtype is kept. ``offsets`` (B, K, C, 2): y, x in pixels, per channel.
    """
    return _squares(images, _corners(images, boxes, offsets).long(), tile)


def scaled_tiles(
    images: Tensor,
    boxes: Tensor,
    tile: int,
    offsets: Tensor | None = None,
    *,
    longest: float | None = None,
) -> Tensor:
    """Cut and resize ``boxes`` (B, K, 4) of (B, C, H, W) -> (B, K, C, tile, tile), shares 0..1.

    Fractions of pixels are allowed; the resize is antialiased. ``offsets`` (B, K, C, 2): y, x in
    pixels, per channel. ``longest``: no side of a box is longer, so that no more than that is read
    around each; None: the whole image.
    """
    height, width = images.shape[-2:]
    side = min(height, width, max(height, width) if longest is None else math.ceil(longest) + 1)
    corner = _corners(images, boxes, offsets)
    last = torch.tensor([height - side, width - side], device=images.device)
    first = corner.floor().long().clamp(min=0).minimum(last)
    extent = boxes[:, :, None, 2:].expand(corner.shape)
    lines = [
        reading_weights((corner - first)[..., axis], extent[..., axis], size=side, out=tile)
        for axis in (0, 1)
    ]
    with torch.autocast(images.device.type, enabled=False):
        return lines[0] @ as_float(_squares(images, first, side)) @ lines[1].mT


def _corners(images: Tensor, boxes: Tensor, offsets: Tensor | None) -> Tensor:
    """Return the corner (B, K, C, 2) y, x of what is read of each channel."""
    corner = boxes[:, :, None, :2] + (0 if offsets is None else offsets)
    return corner.expand(-1, -1, images.shape[1], -1)


def _squares(images: Tensor, corner: Tensor, side: int) -> Tensor:
    """Crop squares of ``side`` pixels -> (B, K, C, side, side); ``corner`` (B, K, C, 2) int64 is
    the top left, y, x."""
    (count, channels, height, width), device = images.shape, images.device
    planes = torch.arange(count * channels, device=device).view(count, 1, channels) * (
        height * width
    )
    first = planes + corner[..., 0] * width + corner[..., 1]
    rows = first[..., None] + torch.arange(side, device=device) * width
    return (
        images.reshape(-1)
        .unfold(0, side, 1)
        .index_select(0, rows.flatten())
        .view(*rows.shape, side)
    )
