"""Fit the linear probe of yes/no labels: a logistic regression per label, all at once.

The solver, the grid of strengths and the choice on a held-out fifth of train are those of
``linear``; the labels are independent given the features, so the objective is the sum of theirs and
one strength serves all.

The trap: the held-out part is drawn at random, for no draw can hold a share of every label at once.
A label that it shows nobody with has no say in the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ssl_patches.evaluation.probes.linear import (
    Softmax,
    calm,
    choose_and_fit,
    shuffled_part,
    standardisation,
)
from ssl_patches.evaluation.protocol import HELD_OUT, STRENGTHS


def multilabel_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    *,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    held_out: float = HELD_OUT,
) -> tuple[Tensor, dict[str, Any]]:
    """Predict scores (N, L) for ``test`` (N, dim), and tell the settings.

    It learns from ``train`` (M, dim), ``train_labels`` (M, L) bool.
    The strength is that of the best mean average precision on the held-out part; settings as those
    of ``linear_probe``.
    """
    labels = train_labels.to(train.device)
    mean, scale = standardisation(train)
    x = (train.float() - mean) / scale
    held = shuffled_part(len(labels), share=held_out, seed=seed).to(x.device)
    with calm(x.numel() * labels.shape[1]):
        grid = sorted(strengths, reverse=True)
        model, settings = choose_and_fit(
            Sigmoid, x, labels, held, classes=labels.shape[1], grid=grid
        )
    return model((test.to(x).float() - mean) / scale), settings


class Sigmoid(Softmax):
    """A logistic regression per label, all at once: ``labels`` (N, L) bool, ``classes`` = L."""

    kind = "multilabel"

    def __call__(self, x: Tensor) -> Tensor:
        """Predict scores (N, L) for ``x`` (N, dim)."""
        return self._logits(x, self.weight, self.bias).T.contiguous()

    def _curvature(self) -> float:
        return 1 / 4

    def _compared(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        targets = labels.T.to(logits)
        lost = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").double().sum()
        return lost, logits.sigmoid() - targets
