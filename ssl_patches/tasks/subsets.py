"""Make disjoint random parts of one view get the same feature, and those of other images others.

The tiles of a view are dealt into ``count`` disjoint subsets; each is encoded by itself, averaged,
projected and drawn to the mean of its image's subsets, and a spread penalty keeps images apart (see
``agree``). All subsets together hold as many tiles as the view, so that four views cost one pass,
and no change of colours is needed: what two subsets share is what the image shows, not where a crop
begins. Close to MSN (arXiv 2204.07141), ExtreMA (arXiv 2206.04667) and, on a CNN, which encodes
each tile alone (tiles of about half the side: ``sampler=tiles_2x2``), to EMP-SSL's bag of patches
(arXiv 2304.03977). Trap: tiles that touch share edges and exact colours; a ``gap`` between tiles
and ``sampler.colour`` guard against both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.agree import WEIGHTS, Spread, check_weight, compare_views, project, retrieval
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.blocks import Projector
from ssl_patches.tasks.spread import SPREADS
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput


class Subsets(PretextTask):
    """Make disjoint random subsets of the tiles of a view agree while images spread out.

    ``count``: subsets of a view. Why: four, as MSN's and ExtreMA's masks of 75 %. ``spread``: tcr,
    sigreg or logdet. Why: as for ``agree``. ``spread_weight``: of the spread penalty beside the
    disagreement; None: that of ``agree``. Why: as there. ``hidden``: width of the two hidden layers
    of the projector. Why: as for ``agree``. ``out``: width of what is compared. Why: as for
    ``agree``.

    ValueError where the tiles do not give so many subsets, or a knob is out of range.
    """

    def __init__(
        self,
        *,
        dim: int,
        grid: PatchGrid,
        count: int = 4,
        spread: Spread = "tcr",
        spread_weight: float | None = None,
        hidden: int = 512,
        out: int = 64,
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if not 2 <= count <= grid.cells:
            raise ValueError(
                f"task.count={count}: from 2 to the {grid.cells} tiles of a view; set"
                f" task.count={min(4, max(2, grid.cells))}"
                + (
                    ""
                    if grid.cells > 1
                    else ", and a sampler of several tiles, e.g. sampler=tiles_2x2"
                )
            )
        if spread not in SPREADS:
            raise ValueError(
                f"task.spread={spread}: must be tcr, sigreg or logdet; set task.spread=tcr"
            )
        check_weight(spread_weight)
        self.count, self.spread = count, spread
        self.spread_weight = WEIGHTS[spread] if spread_weight is None else spread_weight
        self.projector = Projector(dim=dim, hidden=hidden, out=out)

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Return the loss of B views of K tiles; all views of one image (``patches.views``) share
        its centre."""
        pooled = encoder.subsets(
            patches,
            subsets_of(
                self.grid.cells, self.count, batch=len(patches.tiles), device=patches.tiles.device
            ),
        )
        projected = project(
            self.projector, pooled.flatten(0, 1), self.count * patches.views, spread=self.spread
        )
        disagreement, penalty = compare_views(projected, projected.mean(1), spread=self.spread)
        metrics = {
            "agreement": disagreement.detach(),
            "spread": penalty.detach(),
            **retrieval(projected[:, 0].detach(), projected[:, 1].detach()),
        }
        return TaskOutput(disagreement + self.spread_weight * penalty, metrics, features=pooled)

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show two of the subsets whose features shall be equal."""
        count, device = len(patches.tiles), patches.tiles.device
        cells = subsets_of(self.grid.cells, self.count, batch=count, device=device)
        return tuple(
            Picture(f"{name} subset", patches.select(cells[:, at]).tiles, cells[:, at])
            for at, name in enumerate(("one", "another"))
        )


def subsets_of(cells: int, count: int, *, batch: int, device: torch.device) -> Tensor:
    """Draw S = ``count`` disjoint random subsets (B, S, M) of the cells, int64; every cell is as
    likely.
    """
    each = cells // count
    order = torch.rand(batch, cells, device=device).argsort(1)
    return order[:, : count * each].unflatten(1, (count, each))
