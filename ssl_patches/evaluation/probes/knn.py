"""Classify frozen features by weighted k-nearest neighbours, as in DINO.

Caron et al. 2021, arXiv:2104.14294.

Features are L2-normalised; the k training images of highest cosine similarity s vote for their
class with weight exp(s / T). Nothing is trained, so the metric is the same for everyone who uses
the same k and T.

The trap: k and T are part of the result (k=20, T=0.07 here; others publish k=200, T=0.1), and the
bank holds *test-time* views of the training images, not the augmented ones of an online queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIMILARITIES = 2**24  # held at a time: 64 MB of float32


def weighted_knn(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    classes: int,
) -> Tensor:
    """Predict labels (N,) int64 for ``test`` (N, dim) from a bank of labelled features.

    The bank is ``train`` (M, dim) with ``train_labels`` (M,). All on the device of ``train``. A
    bank of fewer than ``k`` images votes as a whole (use ``votes`` to name the metric after what
    was counted). Classes with equal votes: the lower one.
    ValueError for values out of range.
    """
    (predicted,) = knn_classes(
        train, train_labels, test, ks=(k,), temperature=temperature, classes=classes
    ).values()
    return predicted


def knn_classes(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    *,
    ks: Sequence[int],
    temperature: float = 0.07,
    classes: int,
) -> dict[int, Tensor]:
    """Predict labels (N,) as ``weighted_knn`` for several k from one pass over the bank.

    Keys: how many voted, so k beyond the bank are one. ValueError for values out of range.
    """
    low, high = int(train_labels.min()), int(train_labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"classes={classes}: labels lie in {low}..{high}; leave out images without a label (-1)"
            " and set classes to the highest label + 1"
        )
    labels = train_labels.to(train.device)
    predicted: dict[int, list[Tensor]] = {votes(k, len(train)): [] for k in ks}
    for weight, index in _neighbours(
        train, train_labels, test, k=max(predicted), temperature=temperature
    ):
        voted = labels[index]
        for k, some in predicted.items():
            tally = weight.new_zeros(len(weight), classes).scatter_add_(
                1, voted[:, :k], weight[:, :k]
            )
            some.append(tally.argmax(1))
    return {k: torch.cat(some) if some else labels.new_zeros(0) for k, some in predicted.items()}


def knn_means(
    train: Tensor,
    train_targets: Tensor,
    test: Tensor,
    *,
    ks: Sequence[int],
    temperature: float = 0.07,
) -> dict[int, Tensor]:
    """Average the neighbours' targets by weight: (N, D) float32, per k.

    ``train`` (M, dim) with ``train_targets`` (M, D), yes/no labels or values; ``test`` (N, dim).
    ValueError for values out of range.
    """
    values = train_targets.to(train.device).float().contiguous()
    found: dict[int, list[Tensor]] = {votes(k, len(train)): [] for k in ks}
    for weight, index in _neighbours(
        train, train_targets, test, k=max(found), temperature=temperature
    ):
        for k, some in found.items():
            share = weight[:, :k] / weight[:, :k].sum(1, keepdim=True)
            some.append(
                F.embedding_bag(
                    index[:, :k].contiguous(), values, per_sample_weights=share, mode="sum"
                )
            )
    return {
        k: torch.cat(some) if some else values.new_zeros(0, values.shape[1])
        for k, some in found.items()
    }


def _neighbours(
    train: Tensor, targets: Tensor, test: Tensor, *, k: int, temperature: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """For some test images at a time: weight and index in the bank (n, k) of the nearest ``k``,
    nearest first."""
    if temperature <= 0:
        raise ValueError(f"temperature={temperature}: must be above 0; set temperature=0.07")
    if len(train) != len(targets) or train.shape[1:] != test.shape[1:]:
        shapes = (
            f"train={tuple(train.shape)}, train_labels={tuple(targets.shape)},"
            f" test={tuple(test.shape)}"
        )
        raise ValueError(
            f"{shapes}: must be (M, dim), (M,) and (N, dim); extract both splits with the same"
            " model"
        )
    bank = F.normalize(train.float(), dim=1).T
    queries = F.normalize(test.to(bank).float(), dim=1)
    for some in queries.split(max(1, min(1024, SIMILARITIES // len(train)))):
        similarity, nearest = (some @ bank).topk(k, dim=1)
        # relative to the nearest: a common factor cancels, and neither overflows nor leaves all
        # weights at zero
        yield ((similarity - similarity[:, :1]) / temperature).exp(), nearest


def votes(k: int, bank: int) -> int:
    """Tell how many neighbours vote of a bank of images: ``k``, or all of them.

    ValueError where there is none.
    """
    if k < 1 or bank < 1:
        raise ValueError(
            f"k={k}: must be at least 1, with at least 1 training image (there are {bank}); set"
            " k=20"
        )
    return min(k, bank)
