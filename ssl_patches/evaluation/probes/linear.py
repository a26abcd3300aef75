"""Fit the linear probe: logistic regression of frozen features, chosen without the test images.

Features are standardised by the training images; of a fixed grid of L2 strengths the one that
classifies a held-out fifth of *train* best is taken (ties: the stronger) and fitted again to all of
train. The test images are touched once, as in CAPI's protocol (Darcet et al. 2025,
arXiv:2502.08769), which also chooses on a part of train.

The objective is mean cross-entropy + strength / 2 * |W|^2: convex, so the metric does not hang on
learning rates, epochs or a start. The trap is to believe that it was reached: standardised features
of images have condition numbers above 1e6, and L-BFGS stopped at 200 steps is still on its way (an
undeclared early stopping). So W is sought in the eigenbasis of the features' covariance, each
direction scaled by 1 / sqrt(eigenvalue / classes + strength), which turns Boehning's (1992) bound
on the Hessian to about the identity. The objective is the same, and 20 to 50 steps suffice.

Why not a library: scikit-learn's ``newton-cholesky`` (1.9) reaches the same loss to 1e-6 with 11 to
50 times the time: 7.0 s for 0.5 s at 10,000 x 192 x 10 classes, 95 s for 5 s at 50,000 x 384 x 10
(one thread, strength 1e-3); each of its steps makes a Hessian of (classes * dim) squared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.metrics import MAIN, metrics_of
from ssl_patches.evaluation.protocol import HELD_OUT, STRENGTHS

LOGITS = 2**24  # held at a time: 64 MB of float32
STEPS = 500
SMALL = 2**31  # images * dim * classes; 50,000 x 384 x 100 is as much


def linear_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    *,
    classes: int,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    held_out: float = HELD_OUT,
) -> tuple[Tensor, dict[str, Any]]:
    """Predict labels (N,) int64 for ``test`` (N, dim), and tell the settings that were chosen.

    It learns from ``train`` (M, dim), ``train_labels`` (M,) in 0..classes-1.
    The settings say ``strength``, ``held_out`` (how many images chose it; 0 where no class has two,
    and the middle of the grid is taken), ``held_out_top1`` (percent per strength), ``edge`` (it is
    the last of the grid on either side) and ``converged``. All is computed on the device of
    ``train``. ValueError for one class only.
    """
    labels = train_labels.to(train.device)
    if labels.unique().numel() < 2:
        raise ValueError(
            f"train_labels: hold {labels.unique().numel()} class; a probe needs at least 2, add"
            " labelled images"
        )
    mean, scale = standardisation(train)
    x = (train.float() - mean) / scale
    held = stratified(labels, share=held_out, seed=seed)
    with calm(x.numel() * classes):
        model, settings = choose_and_fit(
            Softmax, x, labels, held, classes=classes, grid=sorted(strengths, reverse=True)
        )
    return model((test.to(x).float() - mean) / scale), settings


def choose_and_fit(
    family: type[Softmax],
    x: Tensor,
    labels: Tensor,
    held: Tensor,
    *,
    classes: int,
    grid: Sequence[float],
) -> tuple[Softmax, dict[str, Any]]:
    """Fit from strong to weak on what is not ``held`` (M,), then the best strength on everything.

    ``x`` (M, dim), ``labels`` (M, ...); each fit starts where the last ended.
    """
    scores: dict[float, float] = {}
    path, metric = None, MAIN[family.kind]
    if held.any():
        path = family(x[~held], labels[~held], classes=classes)
        for strength in grid:
            path.fit(strength)
            scores[strength] = metrics_of(
                path(x[held]).cpu(), labels[held].cpu(), kind=family.kind
            )[metric].item()
    strength, settings = chosen_strength(grid, scores, held_out=int(held.sum()), metric=metric)
    model = family(x, labels, classes=classes, start=path)
    return model, settings | {"converged": model.fit(strength)}


def chosen_strength(
    grid: Sequence[float], scores: dict[float, float], *, held_out: int, metric: str
) -> tuple[float, dict[str, Any]]:
    """Choose the strength of the highest score, and tell the settings.

    Of equals it is the stronger, without scores the middle of the grid.
    """
    # NaN: no positive was held out
    known = {strength: score for strength, score in scores.items() if score == score}
    # max: the first of equals
    strength = max(known, key=known.__getitem__) if known else grid[len(grid) // 2]
    edge = bool(known) and strength in (grid[0], grid[-1])
    return strength, {
        "strength": strength,
        "held_out": held_out,
        f"held_out_{metric}": scores,
        "edge": edge,
    }


@contextmanager
def calm(work: int) -> Iterator[None]:
    """Let small problems be solved in one thread for the block.

    Each of hundreds of short operations would wait for all threads.

    ``work``: images * dim * classes.
    On two cores with other work on them 10,000 x 192 x 10 took 2 s with one thread and 46 s with
    two. As a result the metric does not depend on the number of cores either.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if work < SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and scale (dim,) of ``features`` (N, dim).

    A feature that never changes gets scale 1 and so becomes 0.
    """
    variance, mean = torch.var_mean(features.double(), dim=0, correction=0)
    scale = variance.sqrt()
    dead = scale <= 1e-6 * (mean.abs() + scale.max())
    return mean.float(), torch.where(dead, torch.ones_like(scale), scale).float()


def stratified(labels: Tensor, *, share: float, seed: int) -> Tensor:
    """Hold out a share of each class of ``labels`` (N,): mask (N,) bool.

    At least one image, and never a class's only one. ValueError for a share beyond 0..1.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"held_out={share}: must be a share between 0 and 1; set held_out={HELD_OUT}"
        )
    order = shuffled(len(labels), seed=seed).to(labels.device)
    held = torch.zeros_like(labels, dtype=torch.bool)
    for label in labels.unique():
        members = order[labels[order] == label]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[:count]] = True
    return held


def shuffled(count: int, *, seed: int) -> Tensor:
    """Draw a permutation (N,) int64 of ``count`` images that is the same for ever.

    It sorts raw words, which numpy guarantees; its own or torch's shuffling it does not.
    """
    return torch.from_numpy(np.random.PCG64(seed).random_raw(count).argsort(kind="stable"))


def shuffled_part(count: int, *, share: float, seed: int) -> Tensor:
    """Hold out a share of N images without classes: mask (N,) bool; none of fewer than two."""
    held = torch.zeros(count, dtype=torch.bool)
    held[shuffled(count, seed=seed)[: min(max(1, round(share * count)), count - 1)]] = True
    return held


def axes_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the variances (r,) float64 along the axes of ``x`` (N, dim), and the axes (dim, r).

    Of fewer rows than columns the r <= N axes that rows have a part in: what is fitted with an L2
    penalty lies in their span, and the other dim - N would cost most of the time.
    """
    count, width = x.shape
    if count >= width:
        spectrum, basis = torch.linalg.eigh((x.T @ x).double() / count)
        return spectrum.clamp(min=0), basis.float()
    of_rows = x.double()
    spectrum, rows = torch.linalg.eigh(of_rows @ of_rows.T / count)
    there = spectrum > 1e-10 * spectrum[-1].clamp(min=1e-30)
    spectrum, rows = spectrum[there], rows[:, there]
    return spectrum, (of_rows.T @ (rows / (count * spectrum).sqrt())).float()


class Softmax:
    """Multinomial logistic regression on ``x`` (N, dim) standardised, fitted to its minimum.

    ``labels`` (N,). ``start``: a fit to begin from.
    Classes come first, weight (classes, dim) and logits (classes, N): with few classes that is 4
    times as fast.
    """

    kind: Kind = "class"

    def __init__(
        self, x: Tensor, labels: Tensor, *, classes: int, start: Softmax | None = None
    ) -> None:
        self.x, self.labels, self.classes = x, labels, classes
        self.spectrum, self.basis = axes_of(x)
        self.weight: Tensor = start.weight if start else x.new_zeros(classes, x.shape[1])
        self.bias: Tensor = start.bias if start else x.new_zeros(classes)

    def __call__(self, x: Tensor) -> Tensor:
        """Predict labels (N,) for ``x`` (N, dim)."""
        return self._logits(x, self.weight, self.bias).argmax(0)

    def fit(self, strength: float) -> bool:
        """Move to the minimum at this L2 strength. False when ``STEPS`` steps did not reach it."""
        # here: a run starts without it, and torch.optim, which has L-BFGS too, brings the compiler
        from scipy.optimize import minimize

        self.scale = (self.spectrum * self._curvature() + strength).rsqrt().float()
        start = (
            torch.cat([self.weight @ self.basis / self.scale, self.bias[:, None]], 1)
            .double()
            .cpu()
            .numpy()
        )
        # One part in 1e7 of the loss is what float32 logits resolve.
        stop = {"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": 1e-7, "gtol": 1e-6, "maxcor": 10}
        found = minimize(
            self._objective,
            start.ravel(),
            args=(strength,),
            jac=True,
            method="L-BFGS-B",
            options=stop,
        )
        rotated, self.bias = self._unpack(found.x)
        self.weight = rotated @ self.basis.T
        return (
            found.status != 1
        )  # 2: nothing lower along the line, the end of what float32 resolves

    def _logits(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.addmm(bias[:, None], weight, x.T)

    def _unpack(self, flat: np.ndarray) -> tuple[Tensor, Tensor]:
        """Turn what L-BFGS moves into weight (classes, dim), in the eigenbasis, and bias."""
        both = torch.from_numpy(flat).to(self.x).view(self.classes, -1)
        return self.scale * both[:, :-1], both[:, -1]

    def _objective(self, flat: np.ndarray, strength: float) -> tuple[float, np.ndarray]:
        rotated, bias = self._unpack(flat)
        weight, count = rotated @ self.basis.T, len(self.x)
        loss = (
            0.5 * strength * rotated.double().square().sum()
        )  # the basis is orthogonal: this is |W|^2
        slope, slope_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        rows = max(1, LOGITS // self.classes)
        for x, labels in zip(self.x.split(rows), self.labels.split(rows), strict=True):
            lost, residual = self._compared(self._logits(x, weight, bias), labels)
            loss, residual = loss + lost / count, residual / count
            slope, slope_bias = slope.addmm_(residual, x), slope_bias.add_(residual.sum(1))
        gradient = torch.cat(
            [self.scale * (slope @ self.basis + strength * rotated), slope_bias[:, None]], 1
        )
        return loss.item(), gradient.double().cpu().numpy().ravel()

    def _curvature(self) -> float:
        """About how much of the features' covariance the Hessian holds."""
        return 1 / self.classes

    def _compared(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed loss of logits (classes, n) at labels (n, ...), and its slope."""
        log_share = logits.log_softmax(0)
        lost = -log_share.gather(0, labels[None]).double().sum()
        return lost, log_share.exp_().scatter_add_(
            0, labels[None], -logits.new_ones(1, len(labels))
        )
