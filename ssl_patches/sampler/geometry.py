"""Fit grids into views, and refuse those that do not fit: every remedy named in an error works
(tests/sampler/test_geometry.py).

``taken`` is what a cell keeps free of its tile for certain: the gap and the room of a channel
shift. ``scale`` is the largest at which a tile is cut, ``multiple`` what the encoder wants the side
of a tile to be a multiple of.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_patches.types import PatchGrid

FUZZ = 1e-6  # px; below it a difference is rounding


def filling(image_size: int, tile: int, scale: float, taken: int, multiple: int) -> int:
    """Return the cells along a side when as many tiles lie there as fit, ``taken`` px between.

    Sides in pixels. ValueError for fewer than two.
    """
    pitch = max(1, tile, math.ceil(tile * scale + taken - FUZZ))
    if image_size // pitch < 2:
        half = fitting(image_size // 2, scale, taken, multiple)
        smaller = f"sampler.tile={half} or " if half else ""
        raise ValueError(
            f"sampler.tile={tile}: a view of image_size={image_size} holds one, a pretext task"
            f" needs at least 2 side by side ({taken} px apart); set"
            f" {smaller}image_size={2 * pitch}"
        )
    return image_size // pitch


def cell_sides(image_size: int, rows: int, cols: int) -> tuple[int, int]:
    """Return height and width of a cell in pixels. ValueError for cells of less than a pixel."""
    for key, n in (("rows", rows), ("cols", cols)):
        if not 1 <= n <= image_size:
            raise ValueError(
                f"sampler.{key}={n}: from 1 to image_size={image_size}; set sampler.{key}=3 or a"
                " larger image_size"
            )
    return image_size // rows, image_size // cols


def usual_tile(cell: tuple[int, int], scale: float, taken: int, multiple: int) -> int:
    """Return the side of a tile in pixels where none is given: three quarters of a cell.

    The nearest multiple that leaves the gap free; 64 of 85 px in Noroozi & Favaro 2016.
    """
    side = min(cell)
    sides = range(multiple, max(fitting(side, scale, taken, multiple), multiple) + 1, multiple)
    return min(sides, key=lambda tile: abs(tile - 0.75 * side))


def fitting(side: int, scale: float, taken: int, multiple: int) -> int:
    """Return the largest tile that leaves ``taken`` px of ``side`` free at ``scale``; 0: none.

    It is a multiple of ``multiple``.
    """
    return max(0, int((side - taken) / max(1.0, scale) + FUZZ) // multiple * multiple)


def raster_boxes(grid: PatchGrid, device: torch.device | None = None) -> Tensor:
    """List the boxes (K, 4) of a dense grid in raster order: y, x, h, w in pixels."""
    rows, cols = (torch.arange(count, device=device) for count in (grid.rows, grid.cols))
    corners = torch.cartesian_prod(rows, cols) * float(grid.tile)
    return torch.cat([corners, torch.full_like(corners, grid.tile)], 1)


def refuse_misfit(
    cell: tuple[int, int],
    tile: int,
    scale: float,
    gap: int,
    shift: int,
    shape: tuple[int, int],
    multiple: int,
) -> None:
    """Raise ValueError where a tile of ``tile`` px, cut at ``scale``, does not fit into a cell.

    ``cell``: height and width in pixels; ``shape``: rows and cols of the grid.
    """
    if tile < 1:
        raise ValueError(
            f"sampler.tile={tile}: at least 1 px; set sampler.tile=8, or null to have it derived"
        )
    if gap < 0:
        raise ValueError(
            f"sampler.gap={gap}: 0 or more pixels; set sampler.gap=0 for tiles that touch"
        )
    side = min(cell)
    if side - tile * scale - gap - shift >= -FUZZ:
        return
    needed = math.ceil(tile * scale + gap + shift - FUZZ)
    # a gap that is not set grows with the cell
    while needed - tile * scale - shift < max(gap, needed // 10):
        needed += 1
    smaller, narrower = (
        fitting(side, scale, gap + shift, multiple),
        math.floor(side - tile * scale - shift + FUZZ),
    )
    remedies = [f"sampler.tile={smaller}"] * (smaller > 0) + [f"sampler.gap={narrower}"] * (
        narrower >= 0
    )
    shifted = f", channels shift by up to {shift} px" if shift else ""
    scaled = f", scales reach {scale:g}" if scale != 1 else ""
    raise ValueError(
        f"sampler.tile={tile}, sampler.gap={gap}: does not fit, a {shape[0]} x {shape[1]} grid has"
        f" cells of {side} px{shifted}{scaled}; set"
        f" {' or '.join([*remedies, f'image_size={needed * max(shape)}'])}"
    )


def refuse_small(side: int, tile: int, *, dense: bool, multiple: int) -> None:
    """Raise ValueError where small crops of ``side`` px are no whole tiles that an encoder takes.

    ``tile``: side of their tiles in pixels; ``dense``: tiles touch and fill the view.
    """
    whole = side // multiple * multiple or multiple  # for a sampler that cuts nothing
    uncut = "sampler=whole" + (f" views.small_size={whole}" if whole != side else "")
    if not dense:
        raise ValueError(
            f"views.small_size={side}: small crops are cut into tiles that touch and fill them,"
            f" and these tiles lie apart; set {uncut}, or views.small_size=null"
        )
    step = math.lcm(tile, multiple) if tile != side else multiple
    if side % step:
        below = max(step, side // step * step)
        others = f", {uncut}" if tile != side else ""
        raise ValueError(
            f"views.small_size={side}: small crops are cut into whole tiles of {step} px; set"
            f" views.small_size={below}{others}, or views.small_size=null"
        )
