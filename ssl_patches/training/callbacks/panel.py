"""Measure features without labels: whether they differ between images, and in how many directions.

* effective rank: exp of the entropy of the singular values' shares ("RankMe", Garrido et al., ICML
  2023, arXiv:2210.02885), of the features as they are, neither centred nor scaled;
* deviation of each dimension over images of the L2-normalised features, times sqrt(dim): 1 for
  features spread evenly over the sphere, 0 for one feature for all (Chen & He, CVPR 2021,
  arXiv:2011.10566, figure 2);
* mean cosine over all pairs of different images;
* alignment, the mean squared distance between two views of an image, and uniformity, the log of the
  mean of exp(-2 d^2) over pairs of images (Wang & Isola, ICML 2020, arXiv:2005.10242), both on the
  sphere: lower is better, and only together, for a constant has perfect alignment.

The traps: all of these move with the number of images (a rank cannot exceed it), so a curve has to
keep its images; and none of them says that features are *good*, only that some are certainly not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

DEAD = 1e-2  # a dimension that deviates less than this share of the average one says nothing


def effective_rank(features: Tensor) -> float:
    """Measure how many directions features use (Garrido et al. 2023).

    ``features`` (N, dim) -> 1..min(N, dim); nan where one is not finite, 0 for zeros only.
    """
    if not torch.isfinite(features).all():
        return math.nan
    values = torch.linalg.svdvals(features.double())
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total
    return torch.special.entr(shares).sum().exp().item()


def on_sphere(features: Tensor) -> Tensor:
    """Scale features to length 1, in double.

    ``features`` (N, dim) -> (N, dim). Zeros, which have no direction, get the same one: they are
    alike.
    """
    features = features.double()
    dead = features.norm(dim=1, keepdim=True) == 0
    return F.normalize(torch.where(dead, torch.ones_like(features), features), dim=1)


def deviations(features: Tensor) -> Tensor:
    """Measure the deviation of each dimension over images, on the sphere, times sqrt(dim).

    ``features`` (N, dim) -> (dim,) (Chen & He 2021).
    """
    return on_sphere(features).std(0, correction=0) * features.shape[1] ** 0.5


def mean_cosine(features: Tensor) -> float:
    """Average the cosine over all pairs of different images.

    ``features`` (N, dim) -> -1..1. The sum over pairs is a square of a sum.
    """
    count = len(features)
    together = on_sphere(features).sum(0).square().sum()
    return ((together - count) / (count * (count - 1))).item()


def alignment(features: Tensor, of_views: Tensor) -> float:
    """Average the squared distance between two views of an image, on the sphere.

    Two (N, dim), row i of the same image -> 0..4 (Wang & Isola 2020).
    """
    return (on_sphere(features) - on_sphere(of_views)).square().sum(1).mean().item()


def uniformity(features: Tensor) -> float:
    """Take the log of the mean of exp(-2 d^2) over all pairs of different images, on the sphere.

    ``features`` (N, dim) -> -8..0 (Wang & Isola 2020).
    """
    points = on_sphere(features)
    count = len(points)
    cosines = (points @ points.mT)[~torch.eye(count, dtype=torch.bool, device=points.device)]
    return ((-4 * (1 - cosines)).logsumexp(0) - math.log(count * (count - 1))).item()


def panel(features: Tensor, of_views: Tensor) -> Mapping[str, float]:
    """Measure all of the above.

    ``features`` (N, dim) of whole images, ``of_views`` (M <= N, dim) of views of the first M.
    ValueError for fewer than two images: nothing can differ.
    """
    if len(features) < 2:
        raise ValueError(
            f"callbacks.health: {len(features)} held-out image; at least 2 are needed, add images"
            " or set callbacks=none"
        )
    each = deviations(features)
    return {
        "effective_rank": effective_rank(features),
        "deviation": each.mean().item(),
        "dead_dimensions": (each <= DEAD * each.mean()).double().mean().item(),
        "mean_cosine": mean_cosine(features),
        "alignment": alignment(features[: len(of_views)], of_views),
        "uniformity": uniformity(features),
    }
