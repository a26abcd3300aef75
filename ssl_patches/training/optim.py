"""Optimisers with the parameter groups of the papers, the batch-size rule and a schedule stretched
to the budget.

Weight decay is for matrices only: not for biases, norms, positions or tokens (He et al. 2022,
Appendix A). The learning rate is ``base_lr * batch / 256`` (Goyal et al. 2017), rises linearly over
the share ``warmup`` of the budget and falls to zero along a half cosine: a function of progress
alone, so a resumed or longer run needs no scheduler state.

``layer_decay`` below 1 is for going on from pretrained weights: every layer of the encoder learns
that much slower than the one after it (Clark et al. 2020; 0.75 in He et al. 2022, Table 9), up to
the heads at the full rate.

Trap: timm's Lars and Lamb adapt a group only where its weight decay is not zero, so a decay of 0
would turn them into SGD and Adam without a word. ``always_adapt`` is therefore set on the group of
matrices, and on that one only.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import timm.optim
import torch
from timm.models import group_parameters
from torch import nn

from ssl_patches.encoders.base import Encoder


class Recipe(ABC):
    """How a run is optimised.

    ``base_lr``: learning rate at a batch of 256; the peak is base_lr * batch / 256 (Goyal et al.
    2017).
    ``weight_decay``: of matrices only, see above. ``betas``: decay of the running means of gradient
    and square.
    ``momentum``: share of the last step in the next one.
    ``warmup``: share of the budget in which the rate rises. Why: MAE's 40 of 800 epochs.
    ``clip``: largest gradient norm, 0 for none. Why: the papers do not clip; 1 costs nothing and
    saves short runs.
    ``layer_decay``: what each layer learns slower than the one after it. Why: 1 (none) is for
    training from random weights.
    """

    def __init__(
        self, *, base_lr: float, weight_decay: float, warmup: float, clip: float, layer_decay: float
    ) -> None:
        for key, value in (("base_lr", base_lr), ("weight_decay", weight_decay), ("clip", clip)):
            if value < 0 or not math.isfinite(value):
                raise ValueError(
                    f"optimizer.{key}={value}: must be 0 or more; set optimizer.{key}=0.05"
                )
        if not 0 <= warmup < 1:
            raise ValueError(
                f"optimizer.warmup={warmup}: a share of the budget from 0 to below 1; set"
                " optimizer.warmup=0.05"
            )
        if not 0 < layer_decay <= 1:
            raise ValueError(
                f"optimizer.layer_decay={layer_decay}: above 0, up to 1; set"
                " optimizer.layer_decay=0.75 to go on from pretrained weights, 1 to train from"
                " scratch"
            )
        self.base_lr, self.weight_decay, self.warmup, self.clip = (
            base_lr,
            weight_decay,
            warmup,
            clip,
        )
        self.layer_decay = layer_decay

    multiplies: bool = False
    """Does a step of the optimiser compute products of matrices, which FLOPs have to count?"""

    @abstractmethod
    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        """An optimiser over the trainable parameters of ``modules``; ``batch_size``: images per
        step in all."""

    def peak(self, batch_size: int) -> float:
        return self.base_lr * batch_size / 256

    def factor(self, progress: float) -> float:
        """Share of the peak learning rate at ``progress`` (0..1)."""
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (
            1 + math.cos(math.pi * min(1.0, (progress - self.warmup) / (1 - self.warmup)))
        )

    def _groups(self, modules: Iterable[nn.Module], **of_matrices: bool) -> list[dict]:
        """Matrices with weight decay and ``of_matrices``, then vectors without; per learning rate,
        the fullest first.

        ``lr_scale`` of a group: what its learning rate is multiplied by; only there where layers
        differ.
        """
        scales: dict[float, list[nn.Parameter]] = {}
        for module in modules:
            scale = layer_scales(module, self.layer_decay) if self.layer_decay < 1 else {}
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    scales.setdefault(scale.get(name, 1.0), []).append(parameter)
        groups = []
        for scale in sorted(scales, reverse=True):
            matrices = [p for p in scales[scale] if sum(side > 1 for side in p.shape) > 1]
            vectors = [p for p in scales[scale] if sum(side > 1 for side in p.shape) <= 1]
            own = {"lr_scale": scale} if self.layer_decay < 1 else {}
            groups.append(
                {"params": matrices, "weight_decay": self.weight_decay, **of_matrices, **own}
            )
            groups.append({"params": vectors, "weight_decay": 0.0, **own})
        return groups


def layer_scales(module: nn.Module, decay: float) -> dict[str, float]:
    """Share of the learning rate for each parameter of an encoder, by timm's own division into
    layers; {} for a task.

    A head would have 1, so the last block (a ViT's with its final norm) has ``decay``, the one
    before it its square, and so on; what lies outside the timm module is part of the embedding.
    """
    if not isinstance(module, Encoder):
        return {}
    layers = group_parameters(module.model, module.model.group_matcher(), reverse=True)
    head = max(layers.values()) + 1
    inside = {f"model.{name}": decay ** (head - layer) for name, layer in layers.items()}
    return {name: inside.get(name, decay**head) for name, _ in module.named_parameters()}


class AdamW(Recipe):
    """AdamW as MAE uses it.

    ``base_lr``: learning rate at a batch of 256. Why: MAE's, for long runs; runs of minutes want
    more (2e-3 in first_light).
    ``weight_decay``: of matrices. Why: as MAE. ``betas``: decay of the running means. Why: as MAE.
    """

    def __init__(
        self,
        *,
        base_lr: float = 1.5e-4,
        weight_decay: float = 0.05,
        betas: Sequence[float] = (0.9, 0.95),
        warmup: float = 0.05,
        clip: float = 0.0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__(
            base_lr=base_lr,
            weight_decay=weight_decay,
            warmup=warmup,
            clip=clip,
            layer_decay=layer_decay,
        )
        self.betas = _betas(betas)

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self._groups(modules), lr=self.peak(batch_size), betas=self.betas, fused=True
        )


class SGD(Recipe):
    """SGD with momentum, as the CNN papers use it.

    ``base_lr``: learning rate at a batch of 256. Why: as Kolesnikov et al. 2019, VISSL.
    ``weight_decay``: of matrices. Why: as Kolesnikov et al. 2019. ``momentum``: share of the last
    step in the next one. Why: as all of them.
    """

    def __init__(
        self,
        *,
        base_lr: float = 0.1,
        weight_decay: float = 1e-4,
        momentum: float = 0.9,
        warmup: float = 0.05,
        clip: float = 0.0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__(
            base_lr=base_lr,
            weight_decay=weight_decay,
            warmup=warmup,
            clip=clip,
            layer_decay=layer_decay,
        )
        self.momentum = _momentum(momentum)

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            self._groups(modules), lr=self.peak(batch_size), momentum=self.momentum, fused=True
        )


class Lars(Recipe):
    """SGD whose step on each matrix is ``trust`` times the matrix's own norm: for large batches
    (You et al. 2017).

    Vectors take plain SGD steps, as MAE's probe and EMP-SSL do it. timm's: the ratio is ``|w| /
    (|g| + weight_decay |w|)``.

    ``base_lr``: learning rate at a batch of 256. Why: EMP-SSL's. ``weight_decay``: of matrices.
    Why: EMP-SSL's.
    ``momentum``: share of the last step in the next one. Why: as all recipes with LARS.
    ``trust``: length of a step as a share of the matrix's norm. Why: timm's, You et al. 2017.
    """

    def __init__(
        self,
        *,
        base_lr: float = 0.3,
        weight_decay: float = 1e-4,
        momentum: float = 0.9,
        trust: float = 0.001,
        warmup: float = 0.05,
        clip: float = 0.0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__(
            base_lr=base_lr,
            weight_decay=weight_decay,
            warmup=warmup,
            clip=clip,
            layer_decay=layer_decay,
        )
        if not trust > 0 or not math.isfinite(trust):
            raise ValueError(
                f"optimizer.trust={trust}: must be more than 0; set optimizer.trust=0.001"
            )
        self.momentum, self.trust = _momentum(momentum), trust

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        groups = self._groups(modules, always_adapt=True)
        return timm.optim.Lars(
            groups, lr=self.peak(batch_size), momentum=self.momentum, trust_coeff=self.trust
        )


class Lamb(Recipe):
    """Adam whose step on each matrix is as long as the matrix's own norm (You et al. 2020);
    SparK's, on CNNs, too.

    Vectors take Adam steps. timm's own clipping is off: ``clip`` does it, as for all recipes.

    ``base_lr``: learning rate at a batch of 256. Why: as SparK. ``weight_decay``: of matrices. Why:
    where SparK begins.
    ``betas``: decay of the running means. Why: as for AdamW. ``clip``: largest gradient norm, 0 for
    none. Why: as SparK.
    """

    def __init__(
        self,
        *,
        base_lr: float = 2e-4,
        weight_decay: float = 0.04,
        betas: Sequence[float] = (0.9, 0.95),
        warmup: float = 0.05,
        clip: float = 5.0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__(
            base_lr=base_lr,
            weight_decay=weight_decay,
            warmup=warmup,
            clip=clip,
            layer_decay=layer_decay,
        )
        self.betas = _betas(betas)

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        groups = self._groups(modules, always_adapt=True)
        return timm.optim.Lamb(
            groups, lr=self.peak(batch_size), betas=self.betas, max_grad_norm=None
        )


class Muon(Recipe):
    """Muon: every matrix takes a step whose directions all have the same length (Jordan 2024).

    Vectors take AdamW steps. timm's, which scales a step as long as AdamW's would be. The products
    that make a step orthogonal are counted in the FLOPs of a run.

    ``base_lr``: learning rate at a batch of 256. Why: see experiments/recipes.
    ``weight_decay``: of matrices. Why: as for AdamW. ``momentum``: share of the last step in the
    next one. Why: timm's.
    """

    multiplies = True

    def __init__(
        self,
        *,
        base_lr: float = 0.02,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
        warmup: float = 0.05,
        clip: float = 0.0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__(
            base_lr=base_lr,
            weight_decay=weight_decay,
            warmup=warmup,
            clip=clip,
            layer_decay=layer_decay,
        )
        self.momentum = _momentum(momentum)

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        groups = self._groups(modules, use_fallback=False)
        for group in groups:
            group.setdefault("use_fallback", True)
        groups = [group for group in groups if group["params"]]
        peak = self.peak(batch_size)
        return timm.optim.Muon(groups, lr=peak, momentum=self.momentum, nesterov=True)


def _betas(betas: Sequence[float]) -> tuple[float, float]:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(
            f"optimizer.betas={list(betas)}: two numbers from 0 to below 1; set"
            " optimizer.betas=[0.9,0.95]"
        )
    return betas[0], betas[1]


def _momentum(momentum: float) -> float:
    if not 0 <= momentum < 1:
        raise ValueError(
            f"optimizer.momentum={momentum}: from 0 to below 1; set optimizer.momentum=0.9"
        )
    return momentum
