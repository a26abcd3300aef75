"""Keep the encoder's features spread out beside any task: ``spread=logdet``.

Tasks that ask where a tile lies are solved by few directions of the feature (``relative`` uses 3 to
7 of 192). The log-det penalty on the features themselves, not on a projection, keeps the others
alive. How strong it is, is a share of the task's gradient at the features, not a weight that each
task would need to be tuned for: in the first ``pilot`` steps the norms of both gradients are
measured, and the weight that makes the penalty's ``share`` of the sum is then kept for good.

Source: SACReg on the backbone (lambda-JEPA, 2026), which adds it to six methods at a share of 0.06.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor, nn

from ssl_patches.tasks.spread import log_det


class Spread(nn.Module):
    """Weigh a log-det penalty on pooled features against the task. ValueError for a share or pilot
    out of range.

    ``share``: of the penalty in the sum of both gradient norms, 0 to below 1. Why: lambda-JEPA adds
    it at 0.06. ``pilot``: steps in which the weight is measured, a running mean of the last ones.
    Why: the first steps of a run say little about the others.
    """

    weight: Tensor

    def __init__(self, *, share: float = 0.06, pilot: int = 100) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(
                f"spread.share={share}: above 0, below 1; set spread.share=0.06, or spread=none"
            )
        if pilot < 1:
            raise ValueError(f"spread.pilot={pilot}: at least 1 step; set spread.pilot=100")
        self.share, self.pilot = share, pilot
        self.register_buffer("weight", torch.zeros(()))  # kept in checkpoints

    def forward(
        self, loss: Tensor, features: Tensor, *, step: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the weighted penalty to add to ``loss``; the penalty itself, detached; and, in the
        pilot, what ``settle`` learns the weight from.

        ``features`` (B, dim) or (B, K, dim), which is averaged: what the encoder gave in this step,
        with gradient. ``step``: steps done before this one.
        """
        penalty = log_det(features if features.dim() == 2 else features.mean(1))
        if self.training and step < self.pilot and features.requires_grad:
            ratio = _gradient_ratio(loss, penalty, features)
        else:
            ratio = None
        return self.weight * penalty, penalty.detach(), ratio

    @torch.no_grad()
    def settle(self, ratios: Sequence[Tensor], *, step: int) -> None:
        """Take what the shards of a step measured into the weight; called once at its end.

        ``ratios``: () each, of every part and shard; none after the pilot.
        """
        if not ratios:
            return
        ratio = torch.stack(list(ratios)).mean()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(ratio)
            ratio /= torch.distributed.get_world_size()
        found = ratio * self.share / (1 - self.share)
        pace = 1 / min(step + 1, max(1, self.pilot // 2))  # a mean at first, then of the last half
        self.weight.lerp_(found, pace)


def _gradient_ratio(loss: Tensor, penalty: Tensor, features: Tensor) -> Tensor:
    """Norm of the task's gradient at the features over that of the penalty."""
    norms = [
        torch.autograd.grad(part, features, retain_graph=True)[0].float().norm()
        for part in (loss, penalty)
    ]
    return norms[0] / norms[1].clamp(min=1e-12)
