"""Tiles cut from a batch of images, levels kept: by copying rows of pixels.

Of the flat pixels of a batch every stretch as long as a tile is wide is a row of one overlapping view; a tile is some of
those rows. That copies whole rows where an index per pixel would move them one by one (15 times as slow on a CPU). Tiles
that touch are a permutation of the image, in which a row of a tile is moved as one number of as many bytes, if there is
one. All that is returned lies in memory of its own, so that it may be changed in place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_patches.resample import as_float, reading_weights
from ssl_patches.types import PatchGrid

WORDS = (torch.complex128, torch.int64, torch.int32, torch.int16)  # what moves 16, 8, 4 and 2 bytes at once


def dense_tiles(images: Tensor, grid: PatchGrid) -> Tensor:
    """(B, C, rows * t, cols * t) -> (B, K, C, t, t) for tiles that touch: a copy in another order."""
    count, channels = images.shape[:2]
    words = _in_words(images.contiguous(), grid.tile)
    blocks = words.view(count, channels, grid.rows, grid.tile, grid.cols, -1).permute(0, 2, 4, 1, 3, 5)
    tiles = blocks.clone(memory_format=torch.contiguous_format).flatten(-2).view(images.dtype)
    return tiles.view(count, grid.cells, channels, grid.tile, grid.tile)


def _in_words(images: Tensor, tile: int) -> Tensor:
    """The same memory as the widest numbers of which a whole count is a row of a tile; as it is where it is not the CPU's."""
    if images.device.type != "cpu":
        return images
    row, start = tile * images.element_size(), images.storage_offset() * images.element_size()
    return next((images.view(word) for word in WORDS if row % word.itemsize == 0 and start % word.itemsize == 0), images)


def gather_tiles(images: Tensor, boxes: Tensor, tile: int, offsets: Tensor | None = None) -> Tensor:
    """``boxes`` (B, K, 4) in whole pixels -> (B, K, C, tile, tile), dtype kept. ``offsets`` (B, K, C, 2): y, x per channel."""
    return squares(images, row_starts(images, boxes, tile, offsets))


def row_starts(images: Tensor, boxes: Tensor, tile: int, offsets: Tensor | None = None) -> Tensor:
    """Where each row of each tile begins among the pixels of the batch, (B, K, C, tile); arguments as above."""
    return _starts(images, _corners(images, boxes, offsets).long(), tile)


def squares(images: Tensor, starts: Tensor) -> Tensor:
    """``starts`` (N, K, C, n) of ``row_starts``, of some images of ``images`` -> (N, K, C, n, n)."""
    side = starts.shape[-1]
    return images.reshape(-1).unfold(0, side, 1).index_select(0, starts.flatten()).view(*starts.shape, side)


def scaled_tiles(
    images: Tensor, boxes: Tensor, tile: int, offsets: Tensor | None = None, *, longest: float | None = None
) -> Tensor:
    """``boxes`` (B, K, 4), fractions allowed -> (B, K, C, tile, tile) float in 0..1, antialiased; ``offsets`` as above.

    ``longest``: no side of a box is longer, so that no more than that is read around each; None: the whole image.
    """
    height, width = images.shape[-2:]
    side = min(height, width, max(height, width) if longest is None else math.ceil(longest) + 1)
    corner = _corners(images, boxes, offsets)
    last = torch.tensor([height - side, width - side], device=images.device)
    first = corner.floor().long().clamp(min=0).minimum(last)
    extent = boxes[:, :, None, 2:].expand(corner.shape)
    lines = [reading_weights((corner - first)[..., axis], extent[..., axis], size=side, out=tile) for axis in (0, 1)]
    with torch.autocast(images.device.type, enabled=False):
        return lines[0] @ as_float(squares(images, _starts(images, first, side))) @ lines[1].mT


def _corners(images: Tensor, boxes: Tensor, offsets: Tensor | None) -> Tensor:
    """(B, K, C, 2) y, x of what is read of each channel."""
    corner = boxes[:, :, None, :2] + (0 if offsets is None else offsets)
    return corner.expand(-1, -1, images.shape[1], -1)


def _starts(images: Tensor, corner: Tensor, side: int) -> Tensor:
    """Of squares of ``side`` at ``corner`` (B, K, C, 2) int64 y, x."""
    (count, channels, height, width), device = images.shape, images.device
    planes = torch.arange(count * channels, device=device).view(count, 1, channels) * (height * width)
    first = planes + corner[..., 0] * width + corner[..., 1]
    return first[..., None] + torch.arange(side, device=device) * width
