"""Weighted k-nearest-neighbour classification of frozen features, as in DINO (Caron et al. 2021, arXiv:2104.14294).

Features are L2-normalised; the k training images of highest cosine similarity s vote for their class with weight
exp(s / T). Nothing is trained, so the figure is the same for everyone who uses the same k and T.

The trap: k and T are part of the result (k=20, T=0.07 here; others publish k=200, T=0.1), and the bank holds *test-time*
views of the training images, not the augmented ones of an online queue.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIMILARITIES = 2**24  # held at a time: 64 MB of float32


def weighted_knn(
    train: Tensor, train_labels: Tensor, test: Tensor, *, k: int = 20, temperature: float = 0.07, classes: int
) -> Tensor:
    """Labels (N,) int64 predicted for ``test`` (N, dim) from the bank ``train`` (M, dim), ``train_labels`` (M,).

    All on the device of ``train``. A bank of fewer than ``k`` images votes as a whole (use ``votes`` to name the
    figure after what was counted). Classes with equal votes: the lower one. ValueError for values out of range.
    """
    if temperature <= 0:
        raise ValueError(f"temperature={temperature}: must be above 0; set temperature=0.07")
    if len(train) != len(train_labels) or train.shape[1:] != test.shape[1:]:
        shapes = f"train={tuple(train.shape)}, train_labels={tuple(train_labels.shape)}, test={tuple(test.shape)}"
        raise ValueError(f"{shapes}: must be (M, dim), (M,) and (N, dim); extract both splits with the same model")
    if train_labels.min() < 0 or train_labels.max() >= classes:
        raise ValueError(f"classes={classes}: labels lie in {int(train_labels.min())}..{int(train_labels.max())}; leave out "
                         "images without a label (-1) and set classes to the highest label + 1")  # fmt: skip
    k = votes(k, len(train))
    bank, labels = F.normalize(train.float(), dim=1).T, train_labels.to(train.device)
    queries = F.normalize(test.to(bank).float(), dim=1)
    predicted = []
    for some in queries.split(max(1, min(1024, SIMILARITIES // len(train)))):
        similarity, nearest = (some @ bank).topk(k, dim=1)
        weight = ((similarity - 1) / temperature).exp()  # the common factor exp(1 / T) cancels, and could overflow
        tally = weight.new_zeros(len(some), classes).scatter_add_(1, labels[nearest], weight)
        predicted.append(tally.argmax(1))
    return torch.cat(predicted) if predicted else labels.new_zeros(0)


def votes(k: int, bank: int) -> int:
    """How many neighbours vote when ``bank`` images are there: ``k``, or all of them."""
    if k < 1 or bank < 1:
        raise ValueError(f"k={k}: must be at least 1, with at least 1 training image (there are {bank}); set k=20")
    return min(k, bank)
