"""Compute fixed sin-cos positions in two dimensions, for any place of a view, not only for the
cells of a table.

The convention of facebookresearch/mae (He et al. 2022): half of the width for each axis, **x
first**, then y; within an axis the sines, then the cosines; frequencies 10000^(-i / (dim / 4)); a
token at row r, column c of the grid has the coordinates (r, c).
"""

from __future__ import annotations

import torch
from torch import Tensor


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
