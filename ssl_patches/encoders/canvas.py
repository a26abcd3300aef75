"""Lay placed tiles on a canvas of the view's size, and tell which positions of a final map they
cover."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_patches.types import PatchBatch


def canvas(patches: PatchBatch, unit: int) -> Tensor:
    """Lay the placed tiles at their boxes on a canvas (B, C, H, W), zero elsewhere.

    H, W: those of the view, rounded up to ``unit``.
    """
    images, _, channels, h, w = patches.tiles.shape
    height, width = (-(-side // unit) * unit for side in patches.size)
    y, x = patches.boxes[..., :2].round().long().unbind(-1)  # (B, K)
    rows = y[..., None] + torch.arange(h, device=y.device)
    cols = x[..., None] + torch.arange(w, device=x.device)
    pixel = rows[..., :, None] * width + cols[..., None, :]  # (B, K, h, w)
    pixel = torch.where(
        patches.placed[..., None, None], pixel, height * width
    )  # blind tiles fall off the end
    index = pixel.reshape(images, 1, -1).expand(-1, channels, -1)
    flat = patches.tiles.new_zeros(images, channels, height * width + 1)
    flat = flat.scatter(2, index, patches.tiles.transpose(1, 2).reshape(images, channels, -1))
    return flat[..., :-1].reshape(images, channels, height, width)


def whole_view(patches: PatchBatch) -> Tensor:
    """Put the tiles of complete views together again: (B, K, C, h, w) -> (B, C, H, W).

    The colours of a pixel lie together in memory, which convolutions are fastest in.
    """
    count, _, channels, h, w = patches.tiles.shape
    rows, cols = patches.size[0] // h, patches.size[1] // w
    lines = patches.tiles.reshape(count, rows, cols, channels, h, w).permute(0, 1, 4, 2, 5, 3)
    return lines.reshape(count, rows * h, cols * w, channels).permute(0, 3, 1, 2)


def positions(patches: PatchBatch, unit: int) -> Tensor:
    """Tell which positions of the final map each tile covers: (B, K, rows, cols) bool.

    Positions are ``unit`` pixels apart; a tile covers those in its box.
    """
    start, extent = patches.boxes.round().chunk(2, -1)  # (B, K, 2) each
    inside = []
    for axis, side in enumerate(patches.size):
        at = torch.arange(-(-side // unit), device=start.device) * unit
        first = start[..., axis, None]
        inside.append((at >= first) & (at < first + extent[..., axis, None]))
    return inside[0][..., :, None] & inside[1][..., None, :]
