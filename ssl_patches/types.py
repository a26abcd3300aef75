"""The records that cross the seams between parts, and nothing else.

Order is always y, x; h, w; rows, cols. A *tile* is the pixels cut from a *cell* of a *grid*; its
*box* says where it lay in the *view* (the augmented image). An encoder may use a tile's box only
where the tile is *placed*: hiding the places is the only difference between "where does it go?" and
"what is there?".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor


class ImageBatch(NamedTuple):
    """What a loader yields. A NamedTuple, because collate, pinning and device transfer handle
    it."""

    images: Tensor  # (B, C, H, W) uint8
    # (B, ...) class, multi-label, value or mask; -1 = none. Probes read it, a task never does
    labels: Tensor
    index: Tensor  # (B,) which image of the source


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Static geometry of what a sampler cuts; heads are sized from it.

    ``dense`` says that tiles touch and start at multiples of ``tile``: no gap, no jitter, no shift.
    """

    rows: int
    cols: int
    tile: int  # side of a tile in pixels, as the encoder gets it
    channels: int = 3
    dense: bool = False

    @property
    def cells(self) -> int:
        """Count the cells of the grid."""
        return self.rows * self.cols


def colours_together(tiles: Tensor) -> bool:
    """Do the colours of a pixel of (..., C, h, w) lie together in memory, as decoders leave them?
    Otherwise planes do."""
    return (
        tiles.shape[-3] > 1 and not tiles.is_contiguous() and tiles.movedim(-3, -1).is_contiguous()
    )


def take(values: Tensor, cells: Tensor) -> Tensor:
    """``values`` (B, K, ...) and ``cells`` (B, M) int64 -> (B, M, ...): row b takes its own cells,
    in that order."""
    index = cells.reshape(*cells.shape, *[1] * (values.dim() - 2))
    return values.gather(1, index.expand(*cells.shape, *values.shape[2:]))


@dataclass(frozen=True, slots=True)
class Views:
    """Several crops of each image of a step; a view module that gives one crop returns a Tensor.

    Rows of one image follow each other, ``count`` of them, the ``large`` ones first. ``small``
    holds further crops of the same images at a smaller side, ``small_count`` of each image.
    """

    images: Tensor  # (B * count, C, S, S)
    count: int
    large: int
    small: Tensor | None = None  # (B * small_count, C, s, s)
    small_count: int = 0


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Tiles of a batch of views, in some order of cells."""

    # (B, K, C, h, w) normalised float; colours or planes together in memory: reshape it, do not
    # view it
    tiles: Tensor
    boxes: Tensor  # (B, K, 4) float: y, x, h, w in pixels of the view
    placed: Tensor  # (B, K) bool: may the encoder use this tile's box?
    size: tuple[int, int]  # H, W of the view
    uniform: bool | None = (
        None  # known without looking: True all placed, False none placed, None mixed (no host sync)
    )
    views: int = 1  # rows of one image follow each other, this many of them; large crops first
    large: int = 1  # how many of these are large crops
    small: PatchBatch | None = None  # small crops of the same images, on a grid of their own
    complete: bool = False  # every cell of a dense grid in raster order: the views themselves

    def select(self, cells: Tensor) -> PatchBatch:
        """The tiles ``cells`` (B, M) int64, in that order: slot m shows tile ``cells[:, m]``."""
        boxes, placed = take(self.boxes, cells), take(self.placed, cells)
        tiles = (
            take(self.tiles.movedim(2, -1), cells).movedim(-1, 2)
            if colours_together(self.tiles)
            else take(self.tiles, cells)
        )
        return replace(self, tiles=tiles, boxes=boxes, placed=placed, complete=False)

    def blind(self, cells: Tensor | None = None) -> PatchBatch:
        """Withhold the places of all tiles, or of ``cells`` (B, M) int64 only."""
        if cells is None:
            return replace(
                self, placed=torch.zeros_like(self.placed), uniform=False, complete=False
            )
        placed = self.placed.scatter(1, cells, torch.zeros_like(cells, dtype=torch.bool))
        uniform = False if self.uniform is False else None
        return replace(self, placed=placed, uniform=uniform, complete=False)

    def shuffled(self) -> PatchBatch:
        """Each tile at the place of another of its image, by a random permutation: a puzzle, which
        tells no true place."""
        order = torch.rand(self.boxes.shape[:2], device=self.boxes.device).argsort(1)
        return replace(
            self,
            boxes=take(self.boxes, order),
            placed=torch.ones_like(self.placed),
            uniform=True,
            complete=False,
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder makes of a PatchBatch."""

    tiles: Tensor  # (B, K, dim) one feature per tile, in the order given
    prefix: Tensor  # (B, P, dim) CLS and register tokens; P = 0 where the encoder has none


@dataclass(frozen=True, slots=True)
class Features:
    """What an encoder makes of whole images, at one layer."""

    pooled: Tensor  # (B, dim)
    dense: Tensor  # (B, dim, h, w)
    prefix: Tensor  # (B, P, dim)


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a task says about a batch."""

    loss: Tensor  # scalar
    metrics: Mapping[str, Tensor]  # detached scalars, no host sync; chance levels beside accuracies
    features: Tensor | None = None  # (B, dim) what the encoder gave for each view, with gradient


@dataclass(frozen=True, slots=True)
class Picture:
    """What a task shows of itself: tiles laid on a grid, each marked right or wrong where there is
    an answer."""

    title: str
    tiles: Tensor  # (N, M, C, h, w) in the tiles' own units
    cells: Tensor  # (N, M) int64: the cell where each tile is laid
    right: Tensor | None = None  # (N, M) bool
    arrows: Tensor | None = (
        None  # (N, M, 2) y, x: a direction drawn on each tile, 0 for none; needs ``right``
    )


Value = TypeVar("Value", float, Tensor)
ACCURACY, CHANCE = "accuracy", "chance"
LOWER_IS_BETTER = ("loss", "mae", "rmse", "mse", "nll", "ece", "error")


@dataclass(frozen=True, slots=True)
class Metric(Generic[Value]):
    """A number that was measured, and how it is read.

    ``unit``: a share of 1, percent, or its own (a loss, an error in the unit of the labels).
    ``limits``: what it cannot leave, None: nothing is known. ``chance``: what guessing reaches,
    None: nothing is known.
    """

    name: str
    value: Value
    unit: Literal["share", "percent", "own"]
    higher_is_better: bool
    limits: tuple[float, float] | None = None
    chance: Value | None = None

    @classmethod
    def named(cls, name: str, value: Value, chance: Value | None = None) -> Metric[Value]:
        """Tell from a name how its value is read; nothing else in the package reads names.

        ``..._accuracy`` is a share of 1. Names whose last word begins with one of
        ``LOWER_IS_BETTER`` are in a unit of their own. All others are in percent; ``..._top1`` and
        ``..._map`` lie within 0..100.
        """
        last = name.rpartition("_")[2]
        if name.endswith(ACCURACY):
            return cls(name, value, "share", True, (0.0, 1.0), chance)
        if last.startswith(LOWER_IS_BETTER):
            return cls(name, value, "own", False, None, chance)
        return cls(
            name, value, "percent", True, (0.0, 100.0) if last in ("top1", "map") else None, chance
        )


def chance_name(accuracy: str) -> str:
    """Return the name under which a task reports the chance level of ``..._accuracy``."""
    return accuracy.removesuffix(ACCURACY) + CHANCE


def accuracies(metrics: Mapping[str, Value]) -> list[Metric[Value]]:
    """Return the accuracies among what a task reports, each with its chance level.

    ``metrics``: those of ``TaskOutput``, where ``x_chance`` stands beside ``x_accuracy``.
    """
    return [
        Metric.named(name, value, metrics.get(chance_name(name)))
        for name, value in metrics.items()
        if name.endswith(ACCURACY)
    ]
