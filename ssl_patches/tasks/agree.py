"""Make several crops of one image get the same feature, and those of other images others: agreement
between views.

Every view is encoded as a whole, projected by three layers (never exported), and drawn to the
centre of the large views of its image; a spread penalty keeps all images from getting the same
feature, in place of negative pairs, queues or a teacher network. ``spread`` chooses it, and with it
how agreement is measured:

``tcr``: cosine to the centre and the coding rate of each view (EMP-SSL, Tong et al. 2023, arXiv
2304.03977);
``sigreg``: squared distance to the centre and SIGReg of each view (LeJEPA, Balestriero & LeCun
2025, arXiv 2511.08544);
``logdet``: squared distance and the log-det of the centres (SACReg of lambda-JEPA, 2026).

Small crops of their own side (``views.small_size``) are compared with the same centre and stay as
cheap as they are.

Trap: with crops and flips alone colour histograms answer the question; take views that change
colours, or ``subsets``.

With ``positions`` the features of single positions are compared instead of each view's mean: those
that show one place of an image shall be equal, and all positions of a batch spread out, as the part
of VICRegL (Bardes et al. 2022, arXiv 2210.01571) that matches positions by their place. Trap: in
two crops of exactly one place a position is told by how far it is from the edge, and nothing else
is learned; they have to be moved against each other (``views.near``; experiments/camvid_maps).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.tasks.blocks import Projector
from ssl_patches.tasks.spread import SPREADS, mean_of
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput

Spread = Literal["sigreg", "logdet", "tcr"]
WEIGHTS = {"sigreg": 10.0, "logdet": 1.0, "tcr": 0.005}
"""Spread -> its usual weight beside the agreement: eb_jepa's best, SACReg's on normed features,
EMP-SSL's 1 / 200."""

ASKED = 1024  # rows at most that look for their likes, a number to log


class Agree(PretextTask):
    """Make the views of an image agree while images spread out.

    ``spread``: tcr, sigreg or logdet, see above. Why: tcr gave the best kNN per FLOP of the three
    (experiments/recipes). ``spread_weight``: of the spread penalty beside the disagreement; None:
    0.005 for tcr, 10 for sigreg, 1 for logdet. It depends neither on the batch size nor on
    accumulation or processes. Why: EMP-SSL's 1 / 200; eb_jepa's best; SACReg's own scale.
    ``hidden``: width of the two hidden layers of the projector. Why: half of it did as well at 1e13
    FLOPs; wider heads cost little beside the encoder (experiments/recipes). ``out``: width of what
    is compared. Why: narrow is best for LeJEPA (64 of 16 to 1024).
    ``positions``: compare the features of single positions, for maps and segmentation. Why: no,
    most want one feature for an image.

    ValueError where a knob is out of range.
    """

    places = True
    compares = True

    def __init__(
        self,
        *,
        dim: int,
        grid: PatchGrid,
        spread: Spread = "tcr",
        spread_weight: float | None = None,
        hidden: int = 512,
        out: int = 64,
        positions: bool = False,
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if positions and grid.cells < 2:
            raise ValueError(
                f"task.positions=true: a view is cut into {grid.cells} tile, which has one feature;"
                " set sampler=tokens"
            )
        if spread not in SPREADS:
            raise ValueError(
                f"task.spread={spread}: must be tcr, sigreg or logdet; set task.spread=tcr"
            )
        check_weight(spread_weight)
        self.spread, self.spread_weight = (
            spread,
            WEIGHTS[spread] if spread_weight is None else spread_weight,
        )
        self.projector = Projector(dim=dim, hidden=hidden, out=out)
        self.overlap = positions

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Return the loss of B images of V views each (``patches.views``), with (B * V) rows.

        ValueError where an image has one view only, and for crops of two sides that are to be
        compared by position.
        """
        small = patches.small
        if patches.views + (small.views if small else 0) < 2:
            raise ValueError(
                "task=agree: compares views, and each image has one; set views=two_crops or"
                " views=multi_crop"
            )
        if self.overlap and small is not None:
            raise ValueError(
                "task.positions=true: compares crops of one side; set views.large=0 or"
                " views.small=0"
            )
        if self.overlap:
            return self._by_position(patches, encoder)
        pooled = encoder.pooled(patches)  # (B * V, dim)
        projected = project(self.projector, pooled, patches.views, spread=self.spread)
        centre = projected[:, : patches.large].mean(1)
        if small is not None:
            few = project(self.projector, encoder.pooled(small), small.views, spread=self.spread)
            projected = torch.cat([projected, few], 1)
        return self._output(projected, centre, pooled)

    def _by_position(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """Compare the features of the K positions of each view."""
        if patches.crops is None:
            raise ValueError(
                "task.positions=true: the views do not tell which place of an image they show; set"
                " views=near_crops"
            )
        tiles = encoder(patches).tiles  # (B * V, K, dim)
        projected = self.projector(tiles.flatten(0, 1)).float().unflatten(0, tiles.shape[:2])
        matched, shown = same_places(projected, patches)
        if self.spread == "tcr":
            matched = F.normalize(matched, dim=-1)
        return self._output(matched, matched.mean(1), tiles.mean(1), shown)

    def _output(
        self, projected: Tensor, centre: Tensor, pooled: Tensor, shown: Tensor | None = None
    ) -> TaskOutput:
        agreement, penalty = compare_views(projected, centre, spread=self.spread, shown=shown)
        metrics = {
            "agreement": agreement.detach(),
            "spread": penalty.detach(),
            **retrieval(projected[:, 0].detach(), projected[:, 1].detach(), shown),
        }
        return TaskOutput(agreement + self.spread_weight * penalty, metrics, features=pooled)

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Show the views of an image whose features shall be equal, two at most."""
        count, cells = patches.tiles.shape[:2]
        raster = torch.arange(cells, device=patches.tiles.device).expand(count, cells)
        return tuple(
            Picture(f"{name} view", patches.tiles[at :: patches.views], raster[at :: patches.views])
            for at, name in enumerate(("one", "another")[: patches.views])
        )


def project(projector: nn.Module, pooled: Tensor, views: int, *, spread: Spread) -> Tensor:
    """Project pooled features (B * V, dim) -> (B, V, out), of unit length for ``tcr``."""
    projected = projector(pooled).float()
    projected = F.normalize(projected, dim=1) if spread == "tcr" else projected
    return projected.unflatten(0, (-1, views))


def same_places(features: Tensor, patches: PatchBatch) -> tuple[Tensor, Tensor]:
    """Read what each view of an image has at the places of its first view, (N, V, D), and which of
    these places all views of the image show, (N,) bool.

    ``features`` (B * V, K, D) of the K cells of a dense grid, in raster order; N = B * K. Between
    cells they are blended. What is not shown stays in the rows, so that their number is known
    without a look at the crops, for which a GPU would be waited for.
    """
    views, side = patches.views, patches.tiles.shape[-1]
    rows, cols = (length // side for length in patches.size)
    crops = patches.crops if patches.crops is not None else patches.boxes.new_empty(0)
    y, x, h, w = crops.unflatten(0, (-1, views))[..., None].unbind(2)  # (B, V, 1) each
    down, along = (
        (torch.arange(count, device=features.device) + 0.5) / count for count in (rows, cols)
    )
    at_y = (y[:, :1] + down * h[:, :1] - y) / h  # (B, V, rows), shares of each view
    at_x = (x[:, :1] + along * w[:, :1] - x) / w
    at = torch.stack(
        torch.broadcast_tensors(at_x[:, :, None, :], at_y[:, :, :, None]), -1
    )  # (B, V, rows, cols, 2), x first as grid_sample wants it
    shown = ((at >= 0) & (at <= 1)).all(-1).all(1)  # (B, rows, cols)
    maps = features.transpose(1, 2).unflatten(2, (rows, cols))
    read = F.grid_sample(maps, at.flatten(0, 1) * 2 - 1, padding_mode="border", align_corners=False)
    read = read.movedim(1, -1).unflatten(0, (-1, views)).movedim(1, 3)  # (B, rows, cols, V, D)
    return read.flatten(0, 2), shown.flatten()


def compare_views(
    views: Tensor, centre: Tensor, *, spread: Spread, shown: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return disagreement and spread penalty, two scalars, of projected views.

    ``views`` (B, V, D), ``centre`` (B, D): what the views of an image shall agree with. ``shown``
    (B,) bool: rows that count; None: all do.
    """
    views, centre = views.float(), centre.float()
    if spread == "tcr":
        disagreement = 1 - _average(F.cosine_similarity(views, centre[:, None], dim=-1), shown)
    else:
        disagreement = _average((views - centre[:, None]).square(), shown)
    if spread == "logdet":
        return disagreement, SPREADS[spread](views.mean(1), shown)
    penalties = [SPREADS[spread](view, shown) for view in views.unbind(1)]
    return disagreement, torch.stack(penalties).mean()


@torch.no_grad()
def retrieval(first: Tensor, second: Tensor, shown: Tensor | None = None) -> dict[str, Tensor]:
    """Return how often a view finds the other view of its image among those of the batch, and what
    chance gives.

    ``first``, ``second`` (B, D): projected views of the same images, of which the first ``ASKED``
    are asked. ``shown`` (B,) bool: rows that ask and can be found; None: all.
    """
    if shown is not None:  # those that count come first, in their order
        order = shown.logical_not().to(torch.uint8).argsort(stable=True)[:ASKED]
        first, second, shown = first[order], second[order], shown[order]
    first, second = first[:ASKED], second[:ASKED]
    similar = F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).mT
    if shown is None:
        count = similar.new_full((), len(similar))
    else:
        similar, count = similar.masked_fill(~shown, -2), shown.sum()  # below any cosine
    right = similar.argmax(1) == torch.arange(len(similar), device=similar.device)
    return {"accuracy": _average(right.float(), shown), "chance": 1 / count.clamp(min=1)}


def _average(values: Tensor, shown: Tensor | None) -> Tensor:
    """Return the mean of all numbers of the rows (B, ...) that count, a scalar."""
    return values.mean() if shown is None else mean_of(values, shown).mean()


def check_weight(weight: float | None) -> None:
    """Refuse a spread weight that is not a number of 0 or more with a ValueError."""
    if weight is not None and not 0 <= weight < float("inf"):
        raise ValueError(
            f"task.spread_weight={weight}: a number of 0 or more; set task.spread_weight=null for"
            " the usual one"
        )
