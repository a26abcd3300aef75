"""Compute fixed sin-cos positions in two dimensions, for any place of a view, not only for the
cells of a table.

The convention of facebookresearch/mae (He et al. 2022): half of the width for each axis, **x
first**, then y; within an axis the sines, then the cosines; frequencies 10000^(-i / (dim / 4)); a
token at row r, column c of the grid has the coordinates (r, c).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sincos(y: Tensor, x: Tensor, dim: int) -> Tensor:
    """Turn coordinates ``y``, ``x`` (...) into sin-cos positions (..., dim) float32.

    They are in tokens, fractions allowed. ``dim`` is a multiple of 4: ValueError otherwise.
    """
    if dim % 4:
        raise ValueError(
            f"dim={dim}: sin-cos positions need a multiple of 4; choose an encoder or decoder of"
            " such a width"
        )
    frequency = 10000 ** -(
        torch.arange(dim // 4, device=y.device, dtype=torch.float32) / (dim // 4)
    )
    angles = [axis[..., None].float() * frequency for axis in (x, y)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], -1)


def sincos_table(rows: int, cols: int, dim: int) -> Tensor:
    """Make the positions of a whole grid in raster order: (rows * cols, dim)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    return sincos(y.flatten(), x.flatten(), dim)


def token_centres(
    boxes: Tensor,
    tokens: tuple[int, int],
    *,
    view: tuple[int, int],
    patch: int,
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Find the centre of each token of a tile -> y and x, each (B, K, rows * cols), in tokens.

    ``boxes`` (B, K, 4): y, x, height and width of the tiles in pixels. ``tokens``: rows and columns
    of tokens in a tile. ``view``: height and width of the view in pixels; whole tokens of a view of
    the table's size fall on the table, a smaller view spans the whole of it. ``patch``: side of a
    token in pixels. ``grid``: rows and columns of the table.
    """
    rows, cols = tokens
    y, x, h, w = boxes[..., None].unbind(2)
    step_y, step_x = (torch.arange(n, device=boxes.device) + 0.5 for n in (rows, cols))
    centre_y = (y + step_y * h / rows) / patch - 0.5
    centre_x = (x + step_x * w / cols) / patch - 0.5
    centre_y, centre_x = torch.broadcast_tensors(centre_y[..., :, None], centre_x[..., None, :])
    rows, cols = grid
    if view != (rows * patch, cols * patch):
        centre_y = (centre_y + 0.5) * (rows * patch / view[0]) - 0.5
        centre_x = (centre_x + 0.5) * (cols * patch / view[1]) - 0.5
    return centre_y.flatten(2), centre_x.flatten(2)


def looked_up(table: Tensor, y: Tensor, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Look places ``y``, ``x`` (B, K, n), in tokens, up in a table -> (B, K, n, dim).

    ``table`` (rows * cols, dim) of ``grid`` = (rows, cols): linear between its entries, flat beyond
    them.
    """
    rows, cols = grid
    dim = table.shape[1]
    maps = table.to(y.device).T.reshape(1, dim, rows, cols)
    at = torch.stack([(2 * x + 1) / cols - 1, (2 * y + 1) / rows - 1], -1).reshape(1, -1, 1, 2)
    found = nn.functional.grid_sample(
        maps, at, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[0, :, :, 0].T.reshape(*y.shape, dim)
