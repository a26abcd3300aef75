"""Define the records that cross the seams between rooms, and the letters of tensor shapes.

Order is always y, x; h, w; rows, cols. A *tile* is the pixels cut from a *cell* of a *grid*; its
*box* says where it lay in the *view* (the augmented image). An encoder may use a tile's box only
where the tile is *placed*: hiding the places is the only difference between "where does it go?" and
"what is there?".

Letters of shapes, everywhere in the package:

=====  ============================================================================
B      images of a batch, or views where each image has several
V      views of an image; a batch of views has B * V entries, those of an image in a row
K      tiles of a view, one for each cell of the grid
M      chosen tiles: those that are visible, hidden or asked about
N      rows of a table: images of a split, features, predictions
C      channels
H, W   height and width of an image or view in pixels; S where both are equal
h, w   height and width of a tile in pixels, or of a feature map in positions
P      prefix tokens of an encoder: CLS and registers
D      width of a feature vector; ``dim`` where it is a constructor's argument
=====  ============================================================================

Units: an image as stored is uint8, levels 0..255; a view is float, share 0..1 of full scale (or
uint8 where nothing was computed with it yet); a tile is normalised, (share - mean) / std. Boxes and
positions are in pixels of the view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor


class ImageBatch(NamedTuple):
    """A batch as a loader yields it.

    A NamedTuple, because collate, pinning and device transfer handle it.
    """

    images: Tensor  # (B, C, H, W) uint8, levels 0..255
    # (B, ...) class, multi-label, value or mask; -1 = none. Probes read it, a task never does
    labels: Tensor
    # (B,) which image of the source. It hides tuple.index, which nobody asks of a batch
    index: Tensor  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """The static geometry of what a sampler cuts; heads are sized from it.

    ``dense`` says that tiles touch and start at multiples of ``tile``: no gap, no jitter, no shift.
    """

    rows: int
    cols: int
    tile: int  # side of a tile in pixels, as the encoder gets it
    channels: int = 3
    dense: bool = False

    @property
    def cells(self) -> int:
        """Return the number of cells, rows * cols: the K of a batch."""
        return self.rows * self.cols


def channels_last(tiles: Tensor) -> bool:
    """Tell whether (..., C, h, w) lies in memory as (..., h, w, C), as decoders leave pixels.

    False for one channel, where the two orders are the same. Any ``.contiguous()`` changes it.
    """
    return (
        tiles.shape[-3] > 1 and not tiles.is_contiguous() and tiles.movedim(-3, -1).is_contiguous()
    )


colours_together = channels_last
"""The former name of ``channels_last``."""


def take(values: Tensor, cells: Tensor) -> Tensor:
    """Take from ``values`` (B, K, ...) the entries ``cells`` (B, M) int64 -> (B, M, ...).

    Row b takes its own cells, in the order in which they are given.
    """
    index = cells.reshape(*cells.shape, *[1] * (values.dim() - 2))
    return values.gather(1, index.expand(*cells.shape, *values.shape[2:]))


@dataclass(frozen=True, slots=True)
class Views:
    """Several crops of each image of a step; a view module that gives one crop returns a Tensor.

    Rows of one image follow each other, ``count`` of them, the ``large`` ones first. ``small``
    holds further crops of the same images at a smaller side, ``small_count`` of each image.
    """

    images: Tensor  # (B * count, C, S, S) uint8 or shares 0..1; V = count
    count: int
    large: int
    small: Tensor | None = None  # (B * small_count, C, s, s)
    small_count: int = 0
    # (B * count, 4) float: y, x, h, w of each crop in pixels of its image; a mirrored one begins at
    # its right edge and has a negative w. None: not known
    boxes: Tensor | None = None


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """The tiles of a batch of views, in some order of cells."""

    # (B, K, C, h, w) normalised float; channels-last or planes in memory: reshape it, do not view
    # it
    tiles: Tensor
    boxes: Tensor  # (B, K, 4) float: y, x, h, w in pixels of the view
    placed: Tensor  # (B, K) bool: may the encoder use this tile's box?
    size: tuple[int, int]  # H, W of the view in pixels
    # what is known of ``placed`` without reading it from the device: True all tiles, False no tile,
    # None some tiles
    uniform: bool | None = None
    views: int = 1  # rows of one image follow each other, this many of them; large crops first
    large: int = 1  # how many of these are large crops
    small: PatchBatch | None = None  # small crops of the same images, on a grid of their own
    complete: bool = False  # every cell of a dense grid in raster order: the views themselves
    crops: Tensor | None = None  # (B, 4) where each view lies in its image, as ``Views.boxes``

    def select(self, cells: Tensor) -> PatchBatch:
        """Select the tiles ``cells`` (B, M) int64: slot m of the result is tile ``cells[:, m]``."""
        boxes, placed = take(self.boxes, cells), take(self.placed, cells)
        tiles = (
            take(self.tiles.movedim(2, -1), cells).movedim(-1, 2)
            if channels_last(self.tiles)
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
        """Put each tile at the place of another of its image, by a random permutation.

        That is a puzzle: all tiles are placed, and no place is the true one.
        """
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
    """The output of an encoder for a PatchBatch."""

    tiles: Tensor  # (B, K, D) one feature per tile, in the order given
    prefix: Tensor  # (B, P, D) CLS and register tokens; P = 0 where the encoder has none


@dataclass(frozen=True, slots=True)
class Features:
    """The output of an encoder for whole images, at one layer."""

    pooled: Tensor  # (B, D)
    dense: Tensor  # (B, D, h, w)
    prefix: Tensor  # (B, P, D)


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """The loss of a task on a batch, and numbers to log beside it."""

    loss: Tensor  # scalar
    metrics: Mapping[str, Tensor]  # detached scalars, no host sync; chance levels beside accuracies
    features: Tensor | None = None  # (B, D) what the encoder gave for each view, with gradient


@dataclass(frozen=True, slots=True)
class Picture:
    """A task's picture of itself: tiles laid on a grid, each marked right or wrong where known."""

    title: str
    tiles: Tensor  # (N, M, C, h, w) in the tiles' own units
    cells: Tensor  # (N, M) int64: the cell where each tile is laid
    right: Tensor | None = None  # (N, M) bool
    # (N, M, 2) y, x: a direction drawn on each tile, 0 for none; needs ``right``
    arrows: Tensor | None = None


Value = TypeVar("Value", float, Tensor)
ACCURACY, CHANCE = "accuracy", "chance"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Means of red, green and blue, 0..1, that timm's encoders expect to be taken off (ImageNet's)."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Deviations of red, green and blue by which timm's encoders expect pixels to be divided."""
LOWER_IS_BETTER = ("loss", "mae", "rmse", "mse", "nll", "ece", "error")
WITHIN_PERCENT = ("top1", "balanced", "map")


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
        ``LOWER_IS_BETTER`` are in a unit of their own. All others are in percent; ``..._top1``,
        ``..._balanced`` and ``..._map`` lie within 0..100.
        """
        last = name.rpartition("_")[2]
        if name.endswith(ACCURACY):
            return cls(name, value, "share", True, (0.0, 1.0), chance)
        if last.startswith(LOWER_IS_BETTER):
            return cls(name, value, "own", False, None, chance)
        return cls(
            name, value, "percent", True, (0.0, 100.0) if last in WITHIN_PERCENT else None, chance
        )


def chance_name(accuracy: str) -> str:
    """Return the name under which a task reports the chance level of ``..._accuracy``."""
    return accuracy.removesuffix(ACCURACY) + CHANCE


def measured(metrics: Mapping[str, Value]) -> list[Metric[Value]]:
    """Return what a task reports as records, each accuracy with its chance level.

    ``metrics``: those of ``TaskOutput``, where ``x_chance`` stands beside ``x_accuracy``; a chance
    level has no record of its own.
    """
    found = [
        Metric.named(name, value, metrics.get(chance_name(name))) for name, value in metrics.items()
    ]
    levels = {chance_name(metric.name) for metric in found if metric.unit == "share"}
    return [metric for metric in found if metric.name not in levels]


def accuracies(metrics: Mapping[str, Value]) -> list[Metric[Value]]:
    """Return the accuracies among what a task reports, each with its chance level.

    ``metrics``: those of ``TaskOutput``, where ``x_chance`` stands beside ``x_accuracy``.
    """
    return [metric for metric in measured(metrics) if metric.unit == "share"]
