"""Predict in which of eight directions a second tile lies (Doersch, Gupta & Efros, ICCV 2015).

All ordered pairs of neighbouring cells are asked at each step, from one encoding of the tiles: a
pair costs only the head. On a 3 x 3 grid that is 40 questions instead of the 8 around the centre.
Directions are not equally frequent on a grid (6 pairs look right, 4 look up-right), so pairs are
weighted: every direction has the same share, and chance is exactly 1/8. Tiles are encoded as in
``jigsaw``: alone by a CNN, together at shuffled places by a ViT.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput

DIRECTIONS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
"""Row-major: 0 up-left ... 7 down-right; the opposite of d is 7 - d."""


def neighbour_pairs(rows: int, cols: int) -> tuple[Tensor, Tensor, Tensor]:
    """List all ordered pairs of neighbouring cells: first (M,), second (M,), direction (M,).

    The direction is from the first to the second.
    """
    found = [
        (y * cols + x, (y + dy) * cols + x + dx, direction)
        for y in range(rows)
        for x in range(cols)
        for direction, (dy, dx) in enumerate(DIRECTIONS)
        if 0 <= y + dy < rows and 0 <= x + dx < cols
    ]
    first, second, direction = torch.tensor(found).unbind(1)
    return first, second, direction


class Relative(PretextTask):
    """The task that asks in which of eight directions a neighbour of the middle tile lies.

    ``hidden``: width of the head that compares two tiles. Why: a quarter of the papers' 4096;
    not measured here. ``dropout``: in the head. Why: the papers' 0.5 goes with their wider head;
    not measured here.

    ValueError where a knob is out of range or the grid does not fit.
    """

    apart = True

    first: Tensor
    second: Tensor
    direction: Tensor
    share: Tensor

    def __init__(
        self, *, dim: int, grid: PatchGrid, hidden: int = 1024, dropout: float = 0.0
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if min(grid.rows, grid.cols) < 2:
            raise ValueError(
                f"sampler.rows={grid.rows}, sampler.cols={grid.cols}: relative needs neighbours in"
                " all eight directions; set both to 2 or more, e.g. sampler=tiles_3x3"
            )
        if hidden < 1:
            raise ValueError(f"task.hidden={hidden}: at least 1 unit; set task.hidden=1024")
        if not 0 <= dropout < 1:
            raise ValueError(f"task.dropout={dropout}: from 0 to below 1; set task.dropout=0.5")
        first, second, direction = neighbour_pairs(grid.rows, grid.cols)
        frequency = torch.bincount(direction, minlength=8)[direction]
        for name, value in (
            ("first", first),
            ("second", second),
            ("direction", direction),
            ("share", 1 / (8 * frequency)),
        ):
            self.register_buffer(name, value, persistent=False)
        self.of_first, self.of_second = (
            nn.Linear(dim, hidden, bias=False),
            nn.Linear(dim, hidden, bias=False),
        )
        self.answer = nn.Sequential(
            nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, 8)
        )

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Encode the tiles of each view (B, K) and ask for the direction of neighbouring pairs."""
        tiles = encoder.scrambled(patches).tiles
        logits = self._directions(tiles)
        truth = self.direction.expand(len(logits), -1)
        losses = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none").view_as(
            truth
        )
        right = (logits.detach().argmax(2) == truth).float()
        accuracy = (right * self.share).sum(1).mean()
        metrics = {"accuracy": accuracy, "chance": torch.full_like(accuracy, 1 / 8)}
        return TaskOutput((losses * self.share).sum(1).mean(), metrics, features=tiles)

    def _directions(self, tiles: Tensor) -> Tensor:
        """Score the directions: ``tiles`` (B, K, dim) -> logits (B, M, 8).

        A linear map of a joined pair is a sum: each tile is mapped once.
        """
        pairs = self.of_first(tiles)[:, self.first] + self.of_second(tiles)[:, self.second]
        return self.answer(pairs.flatten(0, 1)).unflatten(0, pairs.shape[:2])

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show the middle tile and its neighbours where they belong.

        Arrows say in which direction each is believed to lie.
        """
        rows, cols, count = self.grid.rows, self.grid.cols, len(patches.tiles)
        middle = (rows // 2) * cols + cols // 2
        asked = (self.first == middle).nonzero()[:, 0]
        chosen = self._directions(encoder.scrambled(patches).tiles).argmax(2)[:, asked]
        neighbours = self.second[asked]
        steps = torch.tensor(DIRECTIONS, device=chosen.device)[chosen]  # (B, M, 2)
        cells = torch.cat([neighbours, neighbours.new_tensor([middle])])
        return (
            Picture(
                "neighbours of the middle tile; arrow: on which side of it each is believed to lie",
                patches.tiles[:, cells],
                cells.expand(count, -1),
                F.pad(chosen == self.direction[asked], (0, 1), value=True),
                F.pad(steps, (0, 0, 0, 1)),
            ),
        )
