"""Solve jigsaw puzzles: which of a known set of permutations shuffled the tiles? (Noroozi & Favaro,
ECCV 2016.)

The tiles of an image are encoded once and many puzzles are formed from their features (Kolesnikov
et al. 2019): the head is cheap, the encoder is not. The permutations come from groups, so any two
differ in a guaranteed number of tiles (the published greedy sets hold pairs that differ in two).

A CNN takes each tile alone, as in the paper. A ViT sees the tiles together at shuffled places
(``scrambled``), which tell nothing about where they were cut: the tokens of a tile keep their
order, the sequence is as long as an image and meets the whole position table. Tiles one by one left
features that an image's 64 tokens had never met (history in experiments/first_light).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.blocks import Projection
from ssl_patches.tasks.permutations import permutation_table
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput, take


class Jigsaw(PretextTask):
    """The task that asks which permutation of a known set shuffled the tiles.

    ``permutations``: size of the set. Why: 72 is the largest in which any two orders of nine
    tiles differ in eight places (504 differ in seven, 1512 in six); no published figure says that
    more are better. ``puzzles``: puzzles formed from each encoding. Why: the head is cheap beside
    the encoder (8 in Kolesnikov et al. 2019). ``projection``: width of what the head sees of each
    tile. Why: without it the last layer of the encoder is itself what is compared, and frozen
    features pay for that (history in experiments/first_light). ``hidden``: width of the head. Why:
    a quarter of the paper's 4096, for smaller encoders; not measured here. ``dropout``: in the
    head. Why: the paper's 0.5 goes with its wider head; not measured here.

    ValueError where a knob is out of range or the grid does not fit.
    """

    table: Tensor

    apart = True

    def __init__(
        self,
        *,
        dim: int,
        grid: PatchGrid,
        permutations: int = 72,
        puzzles: int = 8,
        projection: int = 512,
        hidden: int = 1024,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if puzzles < 1:
            raise ValueError(
                f"task.puzzles={puzzles}: at least 1 puzzle per encoding; set task.puzzles=8"
            )
        if hidden < 1:
            raise ValueError(f"task.hidden={hidden}: at least 1 unit; set task.hidden=1024")
        if not 0 <= dropout < 1:
            raise ValueError(f"task.dropout={dropout}: from 0 to below 1; set task.dropout=0.5")
        self.puzzles = puzzles
        self.register_buffer("table", permutation_table(grid.cells, permutations), persistent=False)
        self.projection = Projection(dim=dim, width=projection)
        self.head = nn.Sequential(
            nn.Linear(grid.cells * projection, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, permutations),
        )

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Shuffle the tiles of each view (B, K) and ask for the permutation."""
        count, features = len(patches.tiles), encoder.scrambled(patches).tiles
        tiles = self.projection(features)
        answer = torch.randint(len(self.table), (count, self.puzzles), device=tiles.device)
        logits = self._solve(tiles, answer)
        loss = F.cross_entropy(logits, answer.flatten())
        accuracy = (logits.detach().argmax(1) == answer.flatten()).float().mean()
        chance = torch.full_like(accuracy, 1 / len(self.table))
        return TaskOutput(loss, {"accuracy": accuracy, "chance": chance}, features=features)

    def _solve(self, tiles: Tensor, answer: Tensor) -> Tensor:
        """Score the permutations: ``tiles`` (B, K, projection) -> logits (B * P, permutations).

        ``answer`` (B, P): slot s shows tile table[answer][s].
        """
        count, puzzles = answer.shape
        shown = take(tiles, self.table[answer].flatten(1))
        return self.head(shown.reshape(count * puzzles, -1))

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show the puzzle as it is given, and as the chosen permutation solves it."""
        count, cells = (
            len(patches.tiles),
            torch.arange(self.grid.cells, device=patches.tiles.device),
        )
        answer = (7 * torch.arange(count, device=cells.device)[:, None] + 1) % len(self.table)
        chosen = self._solve(self.projection(encoder.scrambled(patches).tiles), answer).argmax(1)
        shown, believed = self.table[answer[:, 0]], self.table[chosen]
        puzzle = take(patches.tiles, shown)
        return (
            Picture("puzzle as shown", puzzle, cells.expand(count, -1)),
            Picture("as solved", puzzle, believed, believed == shown),
        )
