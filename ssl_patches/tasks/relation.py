"""Predict in which direction every token lies from every other (RelViT, Camporese et al., BMVC
2022).

One encoding of N tiles answers N^2 questions: the head scores a pair like attention does, one
bilinear form per direction (sign of the row difference x sign of the column difference), and beside
it a linear map says each tile's own cell, as in the paper. Two corrections. The ninth relation,
"the same tile", is met only by a token with itself and says nothing: left out. Directions are not
equally frequent, so each has the same share within an image; only tiles whose place is withheld are
asked, and the shares are counted over just these. A guesser stays at 1/8, or, where few tiles are
asked and directions are missing, below one over how many occur: told places say which do.

What it gains: 7.8 points of kNN over random weights at 1e14 FLOPs of CIFAR-10, the least of the
tasks that ask where (experiments/tasks_cifar10_1e14, three seeds); ``position`` asks nearly the
same and gains 16.2.

Known limit: a crop that is *enlarged* to the view leaves its interpolation phase and its border in
the pixels, and on pure noise this task reads places from them (tests/test_leaks.py). Raise
``views.scale``, set ``views=none``, or a smaller ``image_size`` (larger files are loaded at up to
twice that) where this matters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.blocks import initialise
from ssl_patches.tasks.masks import keep_count, visible_cells
from ssl_patches.tasks.position import asked_count
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput, take


class Relation(PretextTask):
    """The task that asks in which direction every token lies from every other.

    ``mask_ratio``: share of hidden tiles. Why: the paper hides none. ``placed``: share of the
    shown ones whose place is told. Why: as in ``position``, so that the encoder learns places.
    ``width``: of the bilinear form of each direction. Why: that of an attention head; not measured
    here.
    ``own_cell``: weight of the second question, in which cell a tile lies. Why: the paper adds both
    with weight 1.

    ValueError where a knob is out of range or the grid does not fit.
    """

    relation: Tensor

    places = True

    def __init__(
        self,
        *,
        dim: int,
        grid: PatchGrid,
        mask_ratio: float = 0.0,
        placed: float = 0.25,
        width: int = 64,
        own_cell: float = 1.0,
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        self.keep = keep_count(grid.cells, mask_ratio) if mask_ratio else grid.cells
        self.asked = asked_count(self.keep, placed)
        self.places = self.asked < self.keep
        self.always_blind = not self.places
        if self.asked < 2:
            raise ValueError(
                f"task.mask_ratio={mask_ratio}, task.placed={placed}: leave {self.asked} tile to"
                " ask about, a relation needs 2; set one lower"
            )
        if width < 1:
            raise ValueError(f"task.width={width}: at least 1; set task.width=64")
        if own_cell < 0:
            raise ValueError(
                f"task.own_cell={own_cell}: a weight of 0 or more; set task.own_cell=1 as in the"
                " paper"
            )
        self.width, self.own_cell = width, own_cell
        self.query, self.key = nn.Linear(dim, 8 * width), nn.Linear(dim, 8 * width)
        self.cell = nn.Linear(dim, grid.cells)
        self.apply(initialise)
        self.register_buffer("relation", relations(grid.rows, grid.cols), persistent=False)

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Show tiles of each view (B, K) and ask in which direction each lies from each other."""
        tiles, cells = self._encode(patches, encoder)
        truth = self.relation[cells[:, :, None], cells[:, None, :]]  # (B, M, M), 8 on the diagonal
        share = balanced_shares(truth)
        logits = self._pairs(tiles)
        pair_loss = (
            (F.cross_entropy(logits, truth.clamp(max=7), reduction="none") * share)
            .sum((1, 2))
            .mean()
        )
        own = self.cell(tiles)
        own_loss = F.cross_entropy(own.flatten(0, 1), cells.flatten())
        accuracy = ((logits.detach().argmax(1) == truth) * share).sum((1, 2)).mean()
        metrics = {
            "accuracy": accuracy,
            "chance": (1 / present_directions(truth)).mean(),
            "cell_accuracy": (own.detach().argmax(2) == cells).float().mean(),
            "cell_chance": torch.full_like(
                accuracy, 1 / (self.grid.cells - self.keep + self.asked)
            ),
        }
        return TaskOutput(pair_loss + self.own_cell * own_loss, metrics, features=tiles)

    def _encode(self, patches: PatchBatch, encoder: Encoder) -> tuple[Tensor, Tensor]:
        """Encode the shown tiles whose place was withheld: features (B, asked, dim).

        Also their true cells (B, asked).
        """
        count, device, grid = len(patches.tiles), patches.tiles.device, self.grid
        cells = torch.arange(grid.cells, device=device).expand(count, -1)
        if self.keep < grid.cells:
            cells, _ = visible_cells(
                grid.rows, grid.cols, batch=count, keep=self.keep, kind="random", device=device
            )
        asked = torch.rand(count, self.keep, device=device).argsort(1)[:, : self.asked]
        shown = patches.select(cells) if self.keep < grid.cells else patches
        encoded = encoder(shown.blind(asked if self.places else None))
        return take(encoded.tiles, asked), take(cells, asked)

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show the tiles whose place was withheld: at their own places, and where they are put.

        The second question's answer puts them.
        """
        features, cells = self._encode(patches, encoder)
        believed, tiles = self.cell(features).argmax(2), take(patches.tiles, cells)
        return (
            Picture("tiles without a place, at their own", tiles, cells),
            Picture("where it puts them", tiles, believed, believed == cells),
        )

    def _pairs(self, tiles: Tensor) -> Tensor:
        """Score the directions of all pairs: (B, M, dim) -> logits (B, 8, M, M).

        Entry [d, i, j] scores "j lies in direction d from i".
        """
        query, key = (
            part(tiles).unflatten(2, (8, self.width)).transpose(1, 2)
            for part in (self.query, self.key)
        )
        return (query @ key.mT).float() / self.width**0.5


def relations(rows: int, cols: int) -> Tensor:
    """List the direction from each cell to each other: (K, K) int64.

    0..7, row-major over the signs, as in ``relative``, from cell i to cell j; 8 where i = j.
    """
    cell = torch.arange(rows * cols)
    y, x = cell // cols, cell % cols
    sign = 3 * (torch.sign(y[None] - y[:, None]) + 1) + torch.sign(x[None] - x[:, None]) + 1
    direction = torch.where(sign > 4, sign - 1, sign)
    return direction.masked_fill(sign == 4, 8)


def balanced_shares(truth: Tensor) -> Tensor:
    """Weight pairs so that each direction present counts alike: weights (B, M, M) that sum to 1.

    ``truth`` (B, M, M) in 0..8; 0 on the diagonal.
    """
    # F.one_hot looks at the values, for which a device would be waited for
    member = (truth[..., None] == torch.arange(8, device=truth.device)).float()
    frequency = member.sum((1, 2))
    present = (frequency > 0).sum(1, keepdim=True)
    weight = 1 / (frequency.clamp(min=1) * present.clamp(min=1))
    return torch.einsum("bijr,br->bij", member, weight)


def present_directions(truth: Tensor) -> Tensor:
    """Count how many of the eight directions occur in each image: (B,) float.

    ``truth`` (B, M, M) in 0..8.
    """
    return (
        torch.zeros(len(truth), 9, device=truth.device)
        .scatter_(1, truth.flatten(1), 1.0)[:, :8]
        .sum(1)
    )
