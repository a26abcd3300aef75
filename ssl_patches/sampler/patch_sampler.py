"""Cut the tile of every cell of a grid, for the whole batch, on the device. Knows no task.

Geometry. A view of side S holds ``rows x cols`` cells of side c = S // rows. In each cell a tile
starts at 0..(c - extent - gap), so the last ``gap`` pixels of a cell stay free and neighbours can
never touch: the gap is guaranteed, not hoped for. What is left of the view (S - rows * c, the last
gap, and the room that a small ``jitter`` does not use) shifts the whole grid, so that every row and
column, the last ones too, can be cut.

Why gap, jitter and colour treatment: without them a network answers where-tasks from line
continuation across tile borders and from chromatic aberration of the lens (Doersch et al. 2015,
Noroozi & Favaro 2016).

Speed. What makes a sampler slow on a CPU is memory: a whole float image per view, an index per
pixel, one pass over all tiles after the other. Here tiles are cut from the stored bytes, row by
row, and turned into floats after, a few images at a time, so that what is done to them happens in
the cache of a core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ssl_patches.sampler.colour import ColourTreatment
from ssl_patches.sampler.cut import dense_tiles, gather_tiles, scaled_tiles
from ssl_patches.sampler.geometry import (
    FUZZ,
    cell_sides,
    filling,
    raster_boxes,
    refuse_misfit,
    refuse_small,
    usual_tile,
)
from ssl_patches.types import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PatchBatch,
    PatchGrid,
    Views,
    channels_last,
)

# values of float tiles that a core works on at once: 4 MiB; half or twice as many took 1.1 to 1.3
# times as long
IN_CACHE = 2**20


class PatchSampler(nn.Module):
    """Module that cuts a batch of views into tiles.

    In train mode places are drawn anew; in eval mode tiles sit in the middle of their room and
    colours are untouched. ValueError, with a remedy that works, for a grid that does not fit.

    ``rows``, ``cols``: cells of the grid; None: as many tiles as the view holds side by side.
    ``tile``: side in pixels; None: three quarters of a cell, or what the encoder sees as one
    position without a grid.
    ``gap``: guaranteed free pixels between neighbours; None: a tenth of a cell, or 0 without a
    grid.
    ``jitter``: largest random offset in a cell, in pixels; None: all the room.
    ``scales``: a tile is cut at a random scale between these two and resized to ``tile``. Why:
    pixels are shown as they are.
    ``standardise``: each tile has mean 0 and deviation 1 by itself (Kolesnikov et al. 2019);
    otherwise mean and std. Why: exported images are not standardised tile by tile, and the mismatch
    cost more than it gave (experiments/first_light).
    ``colour``: treatment of the tiles' colours, see ColourTreatment; None: untouched.
    """

    raster: Tensor  # (K, 4) boxes of a dense grid
    mean: Tensor  # (C, 1, 1)
    std: Tensor
    factor: Tensor  # (C, h, w) 1 / std
    shift: Tensor  # (C, h, w) -mean / std

    def __init__(
        self,
        *,
        image_size: int,
        rows: int | None = None,
        cols: int | None = None,
        tile: int | None = None,
        gap: int | None = None,
        jitter: int | None = None,
        scales: Sequence[float] = (1.0, 1.0),
        standardise: bool = False,
        colour: ColourTreatment | None = None,
        unit: int = 1,
        multiple: int = 1,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if (rows is None) != (cols is None):
            raise ValueError(
                f"sampler.rows={rows}, sampler.cols={cols}: give both, or neither for a grid that"
                " fills the view"
            )
        if len(scales) != 2 or not 0 < scales[0] <= scales[1]:
            raise ValueError(
                f"sampler.scales={list(scales)}: two numbers 0 < low <= high; e.g."
                " sampler.scales=[0.8,1.0]"
            )
        shift = colour.channel_shift if colour else 0
        if rows is None or cols is None:
            tile, gap = unit if tile is None else tile, gap or 0
            rows = cols = filling(image_size, tile, scales[1], gap + shift, multiple)
        self.cell = cell_sides(image_size, rows, cols)
        gap = max(1, min(self.cell) // 10) if gap is None else gap
        self.tile = (
            tile if tile is not None else usual_tile(self.cell, scales[1], gap + shift, multiple)
        )
        self.extents = (self.tile * scales[0], self.tile * scales[1])
        refuse_misfit(self.cell, self.tile, scales[1], gap, shift, (rows, cols), multiple)
        room = max(0, int(min(self.cell) - self.extents[1] - gap - shift + FUZZ))
        self.image_size, self.gap, self.standardise, self.colour = (
            image_size,
            gap,
            standardise,
            colour,
        )
        if jitter is not None and not 0 <= jitter <= room:
            raise ValueError(
                f"sampler.jitter={jitter}: from 0 to {room}, the room of a {self.tile} px tile in a"
                f" {min(self.cell)} px cell with gap {gap}; set sampler.jitter={room}, or null for"
                " all of it"
            )
        self.jitter, self.multiple = jitter, multiple
        unused = [
            0 if jitter is None else int(c - self.extents[1] - gap - shift - jitter + FUZZ)
            for c in self.cell
        ]
        self.left_over = tuple(
            image_size - n * c + gap + u
            for n, c, u in zip((rows, cols), self.cell, unused, strict=True)
        )
        plain = (
            gap == shift == 0
            and self.cell == (self.tile, self.tile)
            and self.extents == (self.tile, self.tile)
        )
        dense = plain and self.left_over == (0, 0)
        self.grid = PatchGrid(rows, cols, self.tile, channels=len(mean), dense=dense)
        if dense:
            self.register_buffer("raster", raster_boxes(self.grid), persistent=False)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        # (x - mean) / std for a whole tile of numbers at once: with one per channel it would take
        # six times as long
        whole = (len(mean), self.tile, self.tile)
        self.register_buffer("factor", (1 / self.std).expand(whole).contiguous(), persistent=False)
        self.register_buffer(
            "shift", (-self.mean / self.std).expand(whole).contiguous(), persistent=False
        )

    def forward(self, images: Tensor | Views) -> PatchBatch:
        """Cut ``images`` (B, C, S, S), uint8 levels or float shares 0..1, into (B, K, C, h, w).

        All cells in raster order, all placed. Of ``Views`` the small crops are cut on a smaller
        grid of the same tiles. ValueError where small crops are no whole tiles."""
        if isinstance(images, Views):
            few = None
            if images.small is not None:
                few = replace(self._small(images.small), views=images.small_count, large=0)
            return replace(
                self(images.images),
                views=images.count,
                large=images.large,
                small=few,
                crops=images.boxes,
            )
        if images.shape[-1] != self.image_size:  # small crops without large ones
            return self._small(images)
        boxes = self.boxes(len(images), images.device)
        return self._cut(images, boxes, self.grid, self.image_size)

    def _cut(self, images: Tensor, boxes: Tensor, grid: PatchGrid, side: int) -> PatchBatch:
        """Cut the tiles of ``grid`` at ``boxes`` (B, K, 4) of views of ``side`` px; treat them."""
        placed = torch.ones(boxes.shape[:2], dtype=torch.bool, device=images.device)
        tiles = self._tiles(images, boxes, grid)
        return PatchBatch(tiles, boxes, placed, (side, side), uniform=True, complete=grid.dense)

    def _small(self, crops: Tensor) -> PatchBatch:
        """Cut small crops (B, C, s, s) on a dense grid of their own. ValueError where none
        fits."""
        side = crops.shape[-1]
        tile = side if self.grid.cells == 1 else self.tile
        refuse_small(side, tile, dense=self.grid.dense, multiple=self.multiple)
        cells = side // tile
        grid = PatchGrid(cells, cells, tile, channels=self.grid.channels, dense=True)
        boxes = raster_boxes(grid, crops.device).expand(len(crops), -1, -1)
        return self._cut(crops, boxes, grid, side)

    def _tiles(self, images: Tensor, boxes: Tensor, grid: PatchGrid) -> Tensor:
        treated = self.colour if self.training else None
        offsets = treated.offsets(boxes, self.grid.channels) if treated else None
        choice = treated.choose(len(images), images.device) if treated else None
        white = 255.0 if images.dtype == torch.uint8 and not self._resizes else 1.0
        last = grid.dense and channels_last(images)
        shift, factor = self._whole(grid.tile)
        factor = factor / white
        if last:  # in the order of memory, or it would take six times as long
            shift, factor = (
                values.movedim(0, -1).contiguous().movedim(-1, 0) for values in (shift, factor)
            )
        cut = self._cutter(images, boxes, offsets, grid)
        slices = _slices(images, boxes.shape[1] * grid.tile**2)
        kind = torch.promote_types(images.dtype, torch.float32)

        def finished(some: slice, into: Tensor | None = None) -> Tensor:
            here = cut(some).to(kind) if into is None else into.copy_(cut(some))
            if treated and choice:
                treated.treat(here, choice.of(some), white=white)
            if self.standardise:
                return standardised(here, white=white)
            return torch.addcmul(shift, here, factor, out=None if here.requires_grad else here)

        if len(slices) == 1:
            return finished(slices[0])
        shape = (*boxes.shape[:2], images.shape[1], grid.tile, grid.tile)
        tiles = images.new_empty(shape, dtype=kind)
        if last:
            tiles = tiles.view(*shape[:2], *shape[3:], shape[2]).movedim(-1, 2)
        for some in slices:
            finished(some, tiles[some])
        return tiles

    def _whole(self, tile: int) -> tuple[Tensor, Tensor]:
        """Return ``shift`` and ``factor`` (C, h, w) for tiles of this side."""
        if tile == self.tile:
            return self.shift, self.factor
        whole = (self.grid.channels, tile, tile)  # a small crop that is one tile
        return (
            (-self.mean / self.std).expand(whole).contiguous(),
            (1 / self.std).expand(whole).contiguous(),
        )

    def boxes(self, count: int, device: torch.device) -> Tensor:
        """Draw where each tile is cut: (B, K, 4) float y, x, h, w in pixels of the view.

        ``count``: B. Fixed and centred in eval mode.
        """
        if self.grid.dense:
            return self.raster.to(device).expand(count, -1, -1)
        cols, cells = self.grid.cols, self.grid.cells
        low, high = self.extents
        draw = (
            torch.full((5, 1, cells), 0.5, device=device)
            if not self.training
            else torch.rand(5, count, cells, device=device)
        )
        extent = low + (high - low) * draw[0]
        raster = torch.arange(cells, device=device)
        corners = []
        for axis, index in enumerate((raster // cols, raster % cols)):
            room = self.cell[axis] - extent - self.gap - self._shift
            if self.jitter is not None:
                room = room.clamp(max=self.jitter)
            # one shift for the grid of an image, in whole pixels: cells that began between pixels
            # would share one
            whole = (draw[3 + axis, :, :1] * (self.left_over[axis] + 1)).floor()
            # unscaled tiles too: each pixel equally likely is the floor of a draw from [0, n + 1)
            inside = (
                draw[1 + axis] * room if self._resizes else (draw[1 + axis] * (room + 1)).floor()
            )
            corners.append(whole + index * self.cell[axis] + inside)
        return torch.stack([*corners, extent, extent], -1).expand(count, -1, -1)

    @property
    def distance(self) -> float:
        """Return the pixels that always stay free between neighbouring tiles.

        0: they touch, for certain or by chance.
        """
        room = min(self.cell) - self.extents[1] - self._shift
        return max(0.0, self.gap if self.jitter is None else room - self.jitter)

    @property
    def _resizes(self) -> bool:
        return self.extents != (self.tile, self.tile)

    @property
    def _shift(self) -> int:
        return self.colour.channel_shift if self.colour else 0

    def _cutter(
        self, images: Tensor, boxes: Tensor, offsets: Tensor | None, grid: PatchGrid
    ) -> Callable[[slice], Tensor]:
        """Return a function from a slice of the batch to its tiles.

        They are levels as stored, or float shares 0..1 where they are resized.
        """

        def shifts(some: slice) -> Tensor | None:
            return None if offsets is None else offsets[some]

        if grid.dense:
            return lambda some: dense_tiles(images[some], grid)
        if not self._resizes:
            # a copy is read line by line and then lies in the cache; its rows in any order do not
            # come from memory one by one
            return lambda some: gather_tiles(
                images[some].clone(memory_format=torch.contiguous_format),
                boxes[some],
                self.tile,
                shifts(some),
            )
        return lambda some: scaled_tiles(
            images[some], boxes[some], self.tile, shifts(some), longest=self.extents[1]
        )

    def denormalise(self, tiles: Tensor) -> Tensor:
        """Bring tiles (..., C, h, w) back to shares 0..1 for figures.

        Standardised ones are shown in an arbitrary grey scale.
        """
        return tiles / 5 + 0.5 if self.standardise else tiles * self.std + self.mean


def standardised(tiles: Tensor, *, white: float = 1.0) -> Tensor:
    """Give each of the tiles (B, K, C, h, w) mean 0 and deviation 1, in place.

    Over all pixels and channels of a tile. ``white``: the largest value there can be. A flat tile
    stays near 0: the deviation is at least that of a tile with one pixel off by one level of 255.
    """
    flat = (tiles.movedim(2, -1) if channels_last(tiles) else tiles).flatten(2)
    flat.sub_(flat.mean(2, keepdim=True))
    count = flat.shape[2] ** 0.5
    deviation = (
        torch.linalg.vector_norm(flat, dim=2, keepdim=True)
        .div_(count)
        .clamp_(min=white / (255 * count))
    )
    flat.mul_(deviation.reciprocal_())
    return tiles


def _slices(images: Tensor, pixels: int) -> list[slice]:
    """Divide a batch into the images that are cut together, ``pixels`` of each.

    All of them, or on a CPU as many as stay in the cache.
    """
    # a gradient knows of no tensor that is written to in slices
    whole = images.device.type != "cpu" or images.requires_grad
    count = len(images) if whole else max(1, IN_CACHE // (pixels * images.shape[1]))
    return [slice(at, at + count) for at in range(0, len(images), count)]
