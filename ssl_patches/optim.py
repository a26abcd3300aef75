"""Optimisers with the parameter groups of the papers, the batch-size rule and a schedule stretched to the budget.

Weight decay is for matrices only: not for biases, norms, positions or tokens (He et al. 2022, Appendix A). The
learning rate is ``base_lr * batch / 256`` (Goyal et al. 2017), rises linearly over the share ``warmup`` of the budget
and falls to zero along a half cosine: a function of progress alone, so a resumed or longer run needs no scheduler state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import nn


class Recipe(ABC):
    """How a run is optimised. ``clip``: largest gradient norm, 0 for none."""

    def __init__(self, *, base_lr: float, weight_decay: float, warmup: float, clip: float) -> None:
        for key, value in (("base_lr", base_lr), ("weight_decay", weight_decay), ("clip", clip)):
            if value < 0 or not math.isfinite(value):
                raise ValueError(f"optimizer.{key}={value}: must be 0 or more; set optimizer.{key}=0.05")
        if not 0 <= warmup < 1:
            raise ValueError(f"optimizer.warmup={warmup}: a share of the budget from 0 to below 1; set optimizer.warmup=0.05")
        self.base_lr, self.weight_decay, self.warmup, self.clip = base_lr, weight_decay, warmup, clip

    @abstractmethod
    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        """An optimiser over the trainable parameters of ``modules``; ``batch_size``: images per step in all."""

    def peak(self, batch_size: int) -> float:
        return self.base_lr * batch_size / 256

    def factor(self, progress: float) -> float:
        """Share of the peak learning rate at ``progress`` (0..1)."""
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - self.warmup) / (1 - self.warmup))))

    def _groups(self, modules: Iterable[nn.Module]) -> list[dict]:
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        matrices = [p for p in parameters if sum(side > 1 for side in p.shape) > 1]
        vectors = [p for p in parameters if sum(side > 1 for side in p.shape) <= 1]
        return [{"params": matrices, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


class AdamW(Recipe):
    """AdamW as MAE uses it."""

    def __init__(
        self,
        *,
        base_lr: float = 1.5e-4,
        weight_decay: float = 0.05,
        betas: Sequence[float] = (0.9, 0.95),
        warmup: float = 0.05,
        clip: float = 0.0,
    ) -> None:
        super().__init__(base_lr=base_lr, weight_decay=weight_decay, warmup=warmup, clip=clip)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"optimizer.betas={list(betas)}: two numbers from 0 to below 1; set optimizer.betas=[0.9,0.95]")
        self.betas = (betas[0], betas[1])

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self._groups(modules), lr=self.peak(batch_size), betas=self.betas, fused=True)


class SGD(Recipe):
    """SGD with momentum, as the CNN papers use it."""

    def __init__(
        self,
        *,
        base_lr: float = 0.1,
        weight_decay: float = 1e-4,
        momentum: float = 0.9,
        warmup: float = 0.05,
        clip: float = 0.0,
    ) -> None:
        super().__init__(base_lr=base_lr, weight_decay=weight_decay, warmup=warmup, clip=clip)
        if not 0 <= momentum < 1:
            raise ValueError(f"optimizer.momentum={momentum}: from 0 to below 1; set optimizer.momentum=0.9")
        self.momentum = momentum

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        return torch.optim.SGD(self._groups(modules), lr=self.peak(batch_size), momentum=self.momentum, fused=True)
