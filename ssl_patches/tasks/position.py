"""Predict the place of tiles: most are hidden, some of the rest are placed, the others say where
they belong.

After DropPos (Wang et al., NeurIPS 2023): 25 % of the tiles are shown, a quarter of these with
their place (the encoder thus learns to use places, and the gap to whole images closes), a light
decoder without positions classifies each of the others among all cells. Targets are smoothed over
near cells, exp(-d^2 / sigma^2), with sigma falling to 0 over the budget: near misses are forgiven
early. The paper's attention weights need a second pass over the whole image and are left out.
Chance counts what the placed tiles rule out: 1 / (cells - placed).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.blocks import Decoder
from ssl_patches.tasks.masks import keep_count, visible_cells
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput, take


class Position(PretextTask):
    """The task that withholds the places of some shown tiles and asks for them.

    ``mask_ratio``: share of hidden tiles. Why: as DropPos. ``placed``: share of the shown ones
    whose place is told. Why: as DropPos; an encoder that never sees a place would export positions
    that mean nothing. ``smoothing``: sigma at the start, in cells. Why: as DropPos; near misses are
    forgiven early. ``depth``: blocks of the decoder. Why: as DropPos. ``width``: of the decoder;
    None: as wide as the encoder, 512 at most. ``heads``: of the decoder; None: one per 64 of width.

    ValueError where a knob is out of range or the grid does not fit.
    """

    distance: Tensor
    target: Tensor

    places = True

    def __init__(
        self,
        *,
        dim: int,
        grid: PatchGrid,
        mask_ratio: float = 0.75,
        placed: float = 0.25,
        smoothing: float = 1.0,
        depth: int = 2,
        width: int | None = None,
        heads: int | None = None,
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        self.keep = keep_count(grid.cells, mask_ratio)
        self.asked = asked_count(self.keep, placed)
        self.places = self.asked < self.keep
        self.always_blind = not self.places
        if smoothing < 0:
            raise ValueError(
                f"task.smoothing={smoothing}: 0 (no smoothing) or more cells; set task.smoothing=1"
            )
        self.smoothing = smoothing
        cell = torch.arange(grid.cells)
        where = torch.stack([cell // grid.cols, cell % grid.cols], 1).float()
        self.register_buffer("distance", torch.cdist(where, where).square(), persistent=False)
        self.register_buffer("target", torch.eye(grid.cells), persistent=False)
        self.decoder = Decoder(dim=dim, width=width, depth=depth, heads=heads, out=grid.cells)
        self.at(0.0)

    def at(self, progress: float) -> None:
        """Soften the targets less and less: ``progress`` is the share of the budget that is used,
        0..1.
        """
        sigma = self.smoothing * (1.0 - progress)
        near = (
            torch.exp(-self.distance / sigma**2) if sigma > 1e-3 else (self.distance == 0).float()
        )
        self.target.copy_(near / near.sum(1, keepdim=True))

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Show some tiles of each view (B, K), withhold places and ask for them."""
        logits, cells, tiles = self._locate(patches, encoder)
        loss = F.cross_entropy(logits.flatten(0, 1), self.target[cells].flatten(0, 1))
        accuracy = (logits.detach().argmax(2) == cells).float().mean()
        chance = torch.full_like(accuracy, 1 / (self.grid.cells - self.keep + self.asked))
        return TaskOutput(loss, {"accuracy": accuracy, "chance": chance}, features=tiles)

    def _locate(self, patches: PatchBatch, encoder: Encoder) -> tuple[Tensor, Tensor, Tensor]:
        """Score the places of the shown tiles whose place was withheld: logits (B, asked, K).

        Also their true cells (B, asked), and the features (B, keep, dim) of all that are
        shown.
        """
        count, device = len(patches.tiles), patches.tiles.device
        visible, _ = visible_cells(
            self.grid.rows,
            self.grid.cols,
            batch=count,
            keep=self.keep,
            kind="random",
            device=device,
        )
        asked = torch.rand(count, self.keep, device=device).argsort(1)[:, : self.asked]
        shown = patches.select(visible)
        encoded = encoder(shown.blind(asked if self.places else None))
        logits = self.decoder(encoded.tiles, encoded.prefix)
        return take(logits, asked), take(visible, asked), encoded.tiles

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show the tiles whose place was withheld: where they belong, and where they are put."""
        logits, cells, _ = self._locate(patches, encoder)
        believed, tiles = logits.argmax(2), take(patches.tiles, cells)
        return (
            Picture("tiles without a place, at their own", tiles, cells),
            Picture("where it puts them", tiles, believed, believed == cells),
        )


def asked_count(shown: int, placed: float) -> int:
    """Count how many of ``shown`` tiles have their place withheld, at least one.

    ValueError for another share.
    """
    if not 0 <= placed < 1:
        raise ValueError(f"task.placed={placed}: a share from 0 to below 1; set task.placed=0.25")
    return max(1, shown - int(shown * placed + 0.5))
