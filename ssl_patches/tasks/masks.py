"""Draw which cells of a grid stay visible: for a whole batch at once, in exact numbers, evenly over
the grid.

Idea. Give every cell of every image a score, sort, cut at ``keep``. Noise as the score hides cells
at random (MAE, He et al. 2022, arXiv:2111.06377). The distance to a random centre hides a block
(Bao et al. 2022, BEiT, arXiv:2106.08254), or keeps one (CAPI, Darcet et al. 2025, arXiv:2502.08769:
inverse block and roll).

Trap. A block placed by ``randint(0, rows - height)`` never reaches the last row and column, and
inside any border the middle is covered more often than the rim; cutting a list of cells in raster
order to get equal lengths favours the top (I-JEPA's public sampler does all three, Assran et al.
2023). Here the grid is a torus and the centre uniform on it, so every cell is as likely as any
other; the price is that a block may wrap around the border.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

MaskKind = Literal["random", "block", "inverse_block"]
ASPECT = (0.75, 1.5)
"""Bounds of a block's height / width, in cells, drawn log-uniformly (those of I-JEPA)."""


def keep_count(cells: int, mask_ratio: float) -> int:
    """Count how many of ``cells`` stay visible when a share ``mask_ratio`` is hidden.

    At least 1 is visible and 1 hidden.

    cells * (1 - mask_ratio), rounded half up after float noise is removed: MAE's ``int(L * (1 -
    r))`` keeps 9 of 50 cells at 0.8, and none of 10 at 0.9, because 1 - 0.8 and 1 - 0.9 fall just
    short of 0.2 and 0.1.

    Raises:
        ValueError: ``mask_ratio`` is not between 0 and 1, or there are fewer than 2 cells.
    """
    if not 0 < mask_ratio < 1:
        raise ValueError(
            f"task.mask_ratio={mask_ratio}: must lie between 0 and 1, both excluded; set 0.75"
        )
    if cells < 2:
        raise ValueError(
            f"task.mask_ratio={mask_ratio}: needs 2 cells, one to show and one to hide, not"
            f" {cells}; use smaller tiles"
        )
    wanted = math.floor(round(cells * (1 - mask_ratio), 6) + 0.5)
    return min(max(wanted, 1), cells - 1)


def visible_cells(
    grid_rows: int,
    grid_cols: int,
    *,
    batch: int,
    keep: int,
    kind: MaskKind,
    device: torch.device | str,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw visible cells (batch, keep) and hidden cells (batch, rows * cols - keep), int64.

    Each in ascending order.

    Each image gets its own draw, and each cell is visible with probability keep / (rows * cols).
    ``random`` hides cells independently of where they lie; ``block`` hides one block and
    ``inverse_block`` shows one, wrapped around the border. Nothing is read back from ``device``; a
    ``generator`` has to live there.

    Raises:
        ValueError: ``keep`` leaves nothing visible or nothing hidden, or ``kind`` is unknown.
    """
    cells = grid_rows * grid_cols
    if not 1 <= keep <= cells - 1:
        raise ValueError(
            f"keep={keep}: must lie between 1 and {cells - 1} for {cells} cells; use keep_count"
        )
    if kind == "random":
        order = torch.rand(batch, cells, device=device, generator=generator).argsort(1)
    elif kind in ("block", "inverse_block"):
        order = _block_scores(grid_rows, grid_cols, batch, device, generator).argsort(
            1, descending=kind == "block"
        )
    else:
        raise ValueError(f"kind={kind}: must be random, block or inverse_block; set kind=random")
    return order[:, :keep].sort(1).values, order[:, keep:].sort(1).values


def _block_scores(
    rows: int, cols: int, batch: int, device: torch.device | str, generator: torch.Generator | None
) -> Tensor:
    """Score cells (batch, rows * cols): the n smallest form a block of n around a random centre.

    The score is the size of the rectangle, of the image's own aspect ratio, that just reaches the
    cell. Centres are not rounded to cells, so a block grows side by side, and noise decides which
    cells of its last side belong to it.
    """
    draw = torch.rand(batch, 3, device=device, generator=generator)
    low, high = (math.log(aspect) / 2 for aspect in ASPECT)
    stretch = torch.exp(
        low + (high - low) * draw[:, 2:]
    )  # (batch, 1): square root of height / width
    from_row = _circular_distance(draw[:, :1] * rows, rows) / stretch
    from_col = _circular_distance(draw[:, 1:2] * cols, cols) * stretch
    scores = torch.maximum(from_row[:, :, None], from_col[:, None, :]).flatten(1)
    return scores + 1e-3 * torch.rand(scores.shape, device=device, generator=generator)


def _circular_distance(centre: Tensor, size: int) -> Tensor:
    """Measure from ``centre`` (batch, 1) in [0, size) to 0, 1, ..., size - 1 around a circle.

    Returns (batch, size).
    """
    return size / 2 - ((torch.arange(size, device=centre.device) - centre) % size - size / 2).abs()
