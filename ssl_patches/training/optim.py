"""Make optimisers with the parameter groups, batch-size rule and schedule of the papers.

Weight decay is for matrices only: not for biases, norms, positions or tokens (He et al. 2022,
Appendix A). The learning rate is ``base_lr * batch / 256`` (Goyal et al. 2017), rises linearly over
the share ``warmup`` of the budget and falls to zero along a half cosine, or stays at its peak and
falls in the last share ``cooldown`` (schedule.py).

``layer_decay`` below 1 is for going on from pretrained weights: every layer of the encoder learns
that much slower than the one after it (Clark et al. 2020; 0.75 in He et al. 2022, Table 9), up to
the heads at the full rate.

Trap: timm's Lars and Lamb adapt a group only where its weight decay is not zero, so a decay of 0
would turn them into SGD and Adam without a word. ``always_adapt`` is therefore set on the group of
matrices, and on that one only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import timm.optim
import torch
from torch import nn

from ssl_patches.config.native_bf16 import native_bf16
from ssl_patches.config.schedule import warmup_cosine, warmup_stable_decay
from ssl_patches.training.layer_rates import layer_scales
from ssl_patches.training.timm_private import Fp32Muon


@dataclass(kw_only=True, eq=False)
class OptimizerConfig:
    """Settings of an optimiser, and the schedule of its learning rate.

    A kind of optimiser derives from it and says in ``create`` how torch makes it.

    ``base_lr``: learning rate at a batch of 256; the peak is base_lr * batch / 256 (Goyal et al.
    2017).
    ``weight_decay``: of matrices only, see above. ``betas``: decay of the running means of gradient
    and square.
    ``momentum``: share of the last step in the next one.
    ``warmup``: share of the budget in which the rate rises. Why: MAE's 40 of 800 epochs.
    ``cooldown``: share of the budget, at its end, in which the rate falls from its peak; 0: it
    falls all the time after the warm-up, along half a cosine. Why: a budget that is known needs no
    more; see experiments/recipes.
    ``clip``: largest gradient norm, 0 for none. Why: the papers do not clip; 1 costs nothing and
    saves short runs.
    ``layer_decay``: what each layer learns slower than the one after it. Why: 1 (none) is for
    training from random weights.
    ``frozen_layers``: layers of the encoder, from the input, that stay as they are; the statistics
    of their BatchNorms go on. Why: none, for training from random weights.
    """

    multiplies: ClassVar[bool] = False
    """Does a step of the optimiser compute products of matrices, which FLOPs have to count?"""
    of_matrices: ClassVar[Mapping[str, bool]] = MappingProxyType({})
    """Settings of the groups of matrices that those of vectors do not have."""

    base_lr: float
    weight_decay: float
    warmup: float = 0.05
    cooldown: float = 0.0
    clip: float = 0.0
    layer_decay: float = 1.0
    frozen_layers: int = 0

    def __post_init__(self) -> None:
        if self.frozen_layers < 0:
            raise ValueError(
                f"optimizer.frozen_layers={self.frozen_layers}: must be 0 or more; set"
                " optimizer.frozen_layers=0"
            )
        for key in ("base_lr", "weight_decay", "clip"):
            value = vars(self)[key]
            if value < 0 or not math.isfinite(value):
                raise ValueError(
                    f"optimizer.{key}={value}: must be 0 or more; set optimizer.{key}=0.05"
                )
        if not 0 <= self.warmup < 1:
            raise ValueError(
                f"optimizer.warmup={self.warmup}: a share of the budget from 0 to below 1; set"
                " optimizer.warmup=0.05"
            )
        if not 0 <= self.cooldown <= 1 - self.warmup:
            raise ValueError(
                f"optimizer.cooldown={self.cooldown}: a share of the budget from 0 to"
                f" {1 - self.warmup:g}, what the warm-up leaves; set optimizer.cooldown=0.2"
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(
                f"optimizer.layer_decay={self.layer_decay}: above 0, up to 1; set"
                " optimizer.layer_decay=0.75 to go on from pretrained weights, 1 to train from"
                " scratch"
            )

    def optimizer(self, modules: Iterable[nn.Module], *, batch_size: int) -> torch.optim.Optimizer:
        """Make an optimiser over the trainable parameters of ``modules``.

        ``batch_size``: images per step, of all processes.
        """
        return self.create(self._groups(modules, **self.of_matrices), lr=self.peak_lr(batch_size))

    def create(self, groups: list[dict[str, Any]], *, lr: float) -> torch.optim.Optimizer:
        """Make the optimiser of groups of parameters, as torch wants them. NotImplementedError:
        each optimiser defines its own."""
        raise NotImplementedError

    def peak_lr(self, batch_size: int) -> float:
        """Return the largest learning rate of the schedule, for a batch of that many images."""
        return self.base_lr * batch_size / 256

    def lr_multiplier(self, progress: float) -> float:
        """Return the share of the peak learning rate, 0..1.

        ``progress``: share of the budget that is used, 0..1.
        """
        if self.cooldown > 0:
            return warmup_stable_decay(progress, self.warmup, self.cooldown)
        return warmup_cosine(progress, self.warmup)

    peak, factor = peak_lr, lr_multiplier  # former names, for scripts

    def _groups(self, modules: Iterable[nn.Module], **of_matrices: bool) -> list[dict[str, Any]]:
        """List matrices with weight decay and ``of_matrices``, then vectors without.

        Per learning rate, the fullest first; ``lr_scale`` of a group, what its rate is multiplied
        by, is there only where layers differ.
        """
        scales: dict[float, list[nn.Parameter]] = {}
        differ = self.layer_decay < 1 or self.frozen_layers > 0
        for module in modules:
            of_layer = layer_scales(module, self.layer_decay, self.frozen_layers) if differ else {}
            for name, parameter in module.named_parameters():
                scale = of_layer.get(name, 1.0)
                if parameter.requires_grad and scale > 0:
                    scales.setdefault(scale, []).append(parameter)
        groups = []
        for scale in sorted(scales, reverse=True):
            matrices = [p for p in scales[scale] if sum(side > 1 for side in p.shape) > 1]
            vectors = [p for p in scales[scale] if sum(side > 1 for side in p.shape) <= 1]
            own = {"lr_scale": scale} if differ else {}
            groups.append(
                {"params": matrices, "weight_decay": self.weight_decay, **of_matrices, **own}
            )
            groups.append({"params": vectors, "weight_decay": 0.0, **own})
        return groups


Recipe = OptimizerConfig
"""The former name, for scripts."""


@dataclass(kw_only=True, eq=False)
class AdamW(OptimizerConfig):
    """AdamW as MAE uses it.

    ``base_lr``: learning rate at a batch of 256. Why: MAE's, for long runs; runs of minutes want
    more (2e-3 in first_light).
    ``weight_decay``: of matrices. Why: as MAE. ``betas``: decay of the running means. Why: as MAE.
    """

    base_lr: float = 1.5e-4
    weight_decay: float = 0.05
    betas: Sequence[float] = (0.9, 0.95)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.betas = _betas(self.betas)

    def create(self, groups: list[dict[str, Any]], *, lr: float) -> torch.optim.Optimizer:
        """Make torch's AdamW, fused."""
        return torch.optim.AdamW(groups, lr=lr, betas=_betas(self.betas), fused=True)


@dataclass(kw_only=True, eq=False)
class SGD(OptimizerConfig):
    """SGD with momentum, as the CNN papers use it.

    ``base_lr``: learning rate at a batch of 256. Why: as Kolesnikov et al. 2019, VISSL.
    ``weight_decay``: of matrices. Why: as Kolesnikov et al. 2019. ``momentum``: share of the last
    step in the next one. Why: as all of them.
    """

    base_lr: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_momentum(self.momentum)

    def create(self, groups: list[dict[str, Any]], *, lr: float) -> torch.optim.Optimizer:
        """Make torch's SGD, fused."""
        return torch.optim.SGD(groups, lr=lr, momentum=self.momentum, fused=True)


@dataclass(kw_only=True, eq=False)
class Lars(OptimizerConfig):
    """SGD whose step on a matrix is ``trust`` times its own norm: for large batches.

    LARS (You et al. 2017). Vectors take plain SGD steps, as MAE's probe and EMP-SSL do it. timm's:
    the ratio is ``|w| / (|g| + weight_decay |w|)``.

    ``base_lr``: learning rate at a batch of 256. Why: EMP-SSL's. ``weight_decay``: of matrices.
    Why: EMP-SSL's.
    ``momentum``: share of the last step in the next one. Why: as all recipes with LARS.
    ``trust``: length of a step as a share of the matrix's norm. Why: timm's, You et al. 2017.
    """

    of_matrices = MappingProxyType({"always_adapt": True})

    base_lr: float = 0.3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    trust: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_momentum(self.momentum)
        if not self.trust > 0 or not math.isfinite(self.trust):
            raise ValueError(
                f"optimizer.trust={self.trust}: must be more than 0; set optimizer.trust=0.001"
            )

    def create(self, groups: list[dict[str, Any]], *, lr: float) -> torch.optim.Optimizer:
        """Make timm's Lars."""
        return timm.optim.Lars(groups, lr=lr, momentum=self.momentum, trust_coeff=self.trust)


@dataclass(kw_only=True, eq=False)
class Lamb(OptimizerConfig):
    """Adam whose step on a matrix is as long as its own norm.

    LAMB (You et al. 2020); SparK's, on CNNs, too. Vectors take Adam steps. timm's own clipping is
    off: ``clip`` does it, as for all optimisers.

    ``base_lr``: learning rate at a batch of 256. Why: as SparK. ``weight_decay``: of matrices. Why:
    where SparK begins.
    ``betas``: decay of the running means. Why: as for AdamW. ``clip``: largest gradient norm, 0 for
    none. Why: as SparK.
    """

    of_matrices = MappingProxyType({"always_adapt": True})

    base_lr: float = 2e-4
    weight_decay: float = 0.04
    betas: Sequence[float] = (0.9, 0.95)
    clip: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.betas = _betas(self.betas)

    def create(self, groups: list[dict[str, Any]], *, lr: float) -> torch.optim.Optimizer:
        """Make timm's Lamb, without its own clipping."""
        return timm.optim.Lamb(groups, lr=lr, betas=_betas(self.betas), max_grad_norm=None)


@dataclass(kw_only=True, eq=False)
class Muon(OptimizerConfig):
    """Muon: every matrix takes a step whose directions all have the same length (Jordan 2024).

    Vectors take AdamW steps. timm's, which scales a step as long as AdamW's would be. The products
    that make a step orthogonal are counted in the FLOPs of a run.

    ``base_lr``: learning rate at a batch of 256. Why: see experiments/recipes.
    ``weight_decay``: of matrices. Why: as for AdamW. ``momentum``: share of the last step in the
    next one. Why: timm's.
    """

    multiplies = True
    of_matrices = MappingProxyType({"use_fallback": False})

    base_lr: float = 0.02
    weight_decay: float = 0.05
    momentum: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_momentum(self.momentum)

    def create(self, groups: list[dict[str, Any]], *, lr: float) -> torch.optim.Optimizer:
        """Make timm's Muon, whose fallback for vectors is AdamW; its products are in bf16 where the
        hardware multiplies that natively."""
        groups = [{"use_fallback": True, **group} for group in groups if group["params"]]
        on_cpu = all(each.device.type == "cpu" for group in groups for each in group["params"])
        emulated = on_cpu and native_bf16("cpu") is None
        kind = Fp32Muon if emulated else timm.optim.Muon
        return kind(groups, lr=lr, momentum=self.momentum, nesterov=True)


def _betas(betas: Sequence[float]) -> tuple[float, float]:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(
            f"optimizer.betas={list(betas)}: two numbers from 0 to below 1; set"
            " optimizer.betas=[0.9,0.95]"
        )
    return betas[0], betas[1]


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(
            f"optimizer.momentum={momentum}: from 0 to below 1; set optimizer.momentum=0.9"
        )
