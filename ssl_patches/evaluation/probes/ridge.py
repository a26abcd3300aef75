"""Fit the linear probe of numbers: scikit-learn's ridge regression, chosen without the test.

As ``linear`` for classes: features standardised by the training images, a fixed grid of L2
strengths, the one that explains most of a held-out fifth of *train*, fitted again to all of train.

The trap: several numbers per image in different units. The fit does not mind (each has its own
weights), but one strength is chosen for all, by the mean of their explained shares, which has no
unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_patches.evaluation.metrics import metrics_of
from ssl_patches.evaluation.probes.linear import chosen_strength, shuffled_part, standardisation
from ssl_patches.evaluation.protocol import HELD_OUT, STRENGTHS


def value_probe(
    train: Tensor,
    train_values: Tensor,
    test: Tensor,
    *,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    held_out: float = HELD_OUT,
) -> tuple[Tensor, dict[str, Any]]:
    """Predict values (N, D) float32 for ``test`` (N, dim), and tell the settings.

    It learns from ``train`` (M, dim), ``train_values`` (M, D).
    The strength is that of mean squared error / 2 + strength / 2 * |W|^2, in features that are
    standardised.
    """
    # late: it takes a second to import, and most evaluations are of classes
    from sklearn.linear_model import Ridge

    mean, scale = standardisation(train)
    x, y = (
        ((train.float() - mean) / scale).double().cpu().numpy(),
        train_values.double().cpu().numpy(),
    )
    held = shuffled_part(len(y), share=held_out, seed=seed).numpy()
    grid = sorted(strengths, reverse=True)
    scores: dict[float, float] = {}
    for strength in grid if held.any() else ():
        found = (
            Ridge(strength * (~held).sum(), solver="cholesky")
            .fit(x[~held], y[~held])
            .predict(x[held])
        )
        found_r2 = metrics_of(
            torch.from_numpy(found.reshape(-1, y.shape[1])), torch.from_numpy(y[held]), kind="value"
        )
        scores[strength] = found_r2["r2"].item()
    strength, settings = chosen_strength(grid, scores, held_out=int(held.sum()), metric="r2")
    model = Ridge(strength * len(y), solver="cholesky").fit(x, y)
    found = model.predict(((test.to(mean).float() - mean) / scale).double().cpu().numpy()).reshape(
        -1, y.shape[1]
    )
    return torch.from_numpy(found).float(), settings
