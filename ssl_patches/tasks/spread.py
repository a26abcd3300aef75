"""Keep features spread out: three penalties that are large where the features of a batch collapse.

A task that only asks views to agree is solved by one feature for all images. Each function here
takes one feature per image and returns a scalar; the lower, the more directions the features use.
``counted`` (N,) bool says which rows count; None: all. To pick them instead would make a GPU wait
for their number.

``sigreg``: random projections of the features shall look like draws of N(0, 1), judged by the
Epps-Pulley statistic (LeJEPA, Balestriero & LeCun 2025, arXiv 2511.08544, eq. 5-7), without its
factor N: so a weight means the same for every batch size. ``coding_rate``: the volume that unit
features span (MCR2, Yu et al. 2020, arXiv 2006.08558; EMP-SSL, Tong et al. 2023, arXiv 2304.03977),
with its sign turned. ``log_det``: the divergence of their mean and covariance from N(0, I) (SACReg
of lambda-JEPA, 2026).

Traps: (a) the gradient of ``sigreg`` vanishes where all features are equal; a norm over the batch
in the projector keeps them away from there. (b) All three need fp32: they are computed outside
autocast. (c) The sign of the coding rate is easily lost; a test holds that spread features cost
less than collapsed ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

POINTS, FURTHEST = 17, 3.0  # of the characteristic function, as LeJEPA
EPSILON = 0.2  # of the coding rate, as EMP-SSL
RIDGE = 1e-4  # added to the covariance before its determinant is taken


def sigreg(features: Tensor, counted: Tensor | None = None, *, slices: int = 256) -> Tensor:
    """Return how far projections of the features are from N(0, 1), 0 to 0.41 per feature.

    ``features`` (N, D) float, N images; ``slices``: random directions, drawn anew at each call. The
    expectation for N(0, 1) itself is 1.06 / N. Source: arXiv 2511.08544, eq. 5-7, divided by N.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float() if features.dtype != torch.float64 else features
        directions = torch.randn(
            features.shape[1], slices, device=features.device, dtype=features.dtype
        )
        return epps_pulley(features @ (directions / directions.norm(dim=0)), counted)


def epps_pulley(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the Epps-Pulley statistic of each column against N(0, 1), divided by N, averaged over
    columns.

    ``values`` (N, M) float. The integral runs over both half lines, truncated at 3, by the
    trapezoidal rule.
    """
    at = torch.linspace(0, FURTHEST, POINTS, device=values.device, dtype=values.dtype)
    normal = (-at.square() / 2).exp()
    step = 2 * normal * (FURTHEST / (POINTS - 1))
    step[0], step[-1] = step[0] / 2, step[-1] / 2
    angle = values[..., None] * at  # (N, M, points)
    real, imaginary = mean_of(angle.cos(), counted), mean_of(angle.sin(), counted)
    return (((real - normal).square() + imaginary.square()) @ step).mean()


def coding_rate(features: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return minus the coding rate of the features, each taken at unit length: low where they span
    much.

    ``features`` (N, D) float: *one* view of N images. Between -D / 2 log(1 + 1 / 0.2) for spread
    and -1 / 2 log(1 + D / 0.2) for equal features. Source: EMP-SSL, arXiv 2304.03977, eq. 2.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = torch.nn.functional.normalize(
            features.float() if features.dtype != torch.float64 else features, dim=1
        )
        width = features.shape[1]
        products, count = products_of(features, counted)
        gram = products * (width / (count * EPSILON))
        return -0.5 * _log_det(gram + torch.eye(width, device=gram.device, dtype=gram.dtype))


def log_det(features: Tensor, counted: Tensor | None = None, *, rotate: bool = True) -> Tensor:
    """Return KL(N(mean, covariance) || N(0, I)) of the features, divided by their width.

    ``features`` (N, D) float, one row per image. A batch shows at most N directions: with
    ``rotate`` the features are first projected on N / 4 random orthonormal ones where D is larger,
    new at each call (N is all rows, also those that do not count). Source: SACReg (lambda-JEPA).
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float() if features.dtype != torch.float64 else features
        count, width = features.shape
        if rotate and (kept := max(1, count // 4)) < width:
            frame = torch.randn(width, kept, device=features.device, dtype=features.dtype)
            features, width = features @ torch.linalg.qr(frame).Q, kept
        mean = mean_of(features, counted)
        products, total = products_of(features - mean, counted)
        covariance = products / total
        ridge = RIDGE * torch.eye(width, device=features.device, dtype=features.dtype)
        divergence = (
            mean.square().sum() + covariance.diagonal().sum() - _log_det(covariance + ridge) - width
        )
        return divergence / (2 * width)


def mean_of(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the mean of the rows (N, ...) that count -> (...); 0 where none does."""
    if counted is None:
        return values.mean(0)
    return torch.tensordot(counted.to(values.dtype), values, 1) / counted.sum().clamp(min=1)


def products_of(features: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor | int]:
    """Return the sum over rows (N, D) that count of their outer products, (D, D), and how many."""
    if counted is None:
        return features.mT @ features, len(features)
    rows = features * counted[:, None]
    return rows.mT @ rows, counted.sum().clamp(min=1)


def _log_det(matrix: Tensor) -> Tensor:
    """Log determinant of a positive definite (D, D), by its Cholesky factor: no sync, no pivots."""
    factor = torch.linalg.cholesky_ex(matrix).L
    return 2 * factor.diagonal().log().sum()


def missing_rate(features: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return how much coding rate the features (N, D) lack of what their width can have, 0 or more.

    As ``coding_rate`` but for a constant, so that a loss is never negative.
    """
    return highest_coding_rate(features.shape[1]) + coding_rate(features, counted)


def highest_coding_rate(width: int) -> float:
    """Return the coding rate that features of ``width`` can have at most."""
    return width / 2 * math.log(1 + 1 / EPSILON)


SPREADS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "sigreg": sigreg,
    "logdet": log_det,
    "tcr": missing_rate,
}
"""Names of ``task.spread`` -> penalty."""
