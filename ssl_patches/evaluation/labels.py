"""Tell what labels ask for: one class per image, several yes/no labels, or numbers.

The kind decides the probes and their metric:

* ``class``: (B,) whole numbers, -1 where there is no label. ``top1``: accuracy.
* ``multilabel``: (B, L) of 0 and 1, -1 anywhere in a row without label. ``map``: mean over labels
  of the average precision.
* ``value``: (B,) or (B, D) floats, NaN anywhere in a row without label. ``r2``: share of the
  variance explained, and ``mae``, the mean absolute error.

The trap: whole numbers that are amounts (an age, a count) look like classes, and are read as such
unless ``labels=value`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Kind = Literal["class", "multilabel", "value"]


def kind_of(labels: Tensor, wanted: str = "auto") -> Kind:
    """Tell the kind of ``labels`` (N, ...).

    ``wanted``: auto, or a kind. ValueError when they cannot be that, or are none of the three.
    """
    if wanted not in ("auto", *get_args(Kind)):
        raise ValueError(
            f"labels={wanted}: must be one of auto, {', '.join(get_args(Kind))}; set labels=auto"
        )
    shape, real = tuple(labels.shape), labels.is_floating_point()
    possible: list[Kind] = ["value"] if labels.dim() in (1, 2) else []
    if not real and labels.dim() in (1, 2):
        possible.insert(0, "class" if labels.dim() == 1 else "multilabel")
    if not possible:
        raise ValueError(
            f"labels {shape}: probes need one class (N,), yes/no labels (N, L) or numbers (N, D)"
            " per image; evaluate with data that has such labels"
        )
    for kind in possible:
        if wanted in ("auto", kind):
            return kind
    raise ValueError(
        f"labels={wanted}: the data's labels are {labels.dtype} {shape}; set labels={possible[0]}"
    )


def labelled(labels: Tensor, kind: Kind) -> Tensor:
    """Return the mask (N,) of the images that have a label, of ``labels`` (N, ...)."""
    given = labels.isfinite() if labels.is_floating_point() else labels != -1
    return given if given.dim() == 1 else given.all(1)


def targets(labels: Tensor, kind: Kind) -> Tensor:
    """Turn labels (N, ...) into targets of probes: int64 (N,), bool (N, L) or float32 (N, D).

    ValueError for yes/no labels beyond 0 and 1.
    """
    if kind == "class":
        return labels.long()
    if not len(labels):
        return torch.zeros(0, 1, dtype=torch.bool if kind == "multilabel" else torch.float32)
    if kind == "value":
        return labels.float().view(len(labels), -1)
    if not torch.isin(labels, torch.tensor([0, 1], dtype=labels.dtype)).all():
        raise ValueError(
            f"labels=multilabel: values are {labels.unique().tolist()[:5]}, must be 0 and 1 (-1 ="
            " no label); set labels=value if they are amounts"
        )
    return labels.bool()


def described(kind: Kind, train: Tensor) -> str:
    """Describe targets (N, ...) in words, with the metric that will be shown."""
    if kind == "class":
        return f"one of {len(train.unique())} classes per image: accuracy (top1)"
    if kind == "multilabel":
        return f"{train.shape[1]} yes/no labels per image: mean average precision over labels (map)"
    each = f"{train.shape[1]} numbers" if train.shape[1] > 1 else "one number"
    return (
        f"{each} per image: share of variance explained (r2, percent), mean absolute error (mae, in"
        " the labels' unit)"
    )


def counts(labels: Tensor, classes: Sequence[str], *, most: int = 8) -> str:
    """Write how many images of each class there are, the fewest first, and how many have no label.

    ``labels`` (N,) whole numbers, -1 = none. ``classes``: their names. At most ``most`` are named.
    """
    numbers, sizes = labels[labels >= 0].unique(return_counts=True)
    found = dict.fromkeys(range(len(classes)), 0)
    found |= dict(zip(numbers.tolist(), sizes.tolist(), strict=True))
    order = sorted(found, key=lambda number: (found[number], number))
    named = [
        f"{classes[number] if number < len(classes) else number} {found[number]:,}"
        for number in order[:most]
    ]
    more = [f"and {len(order) - most:,} more classes"] if len(order) > most else []
    without = int((labels == -1).sum())
    return ", ".join([*named, *more, *([f"no label {without:,}"] if without else [])])


def check_targets(train: Tensor, test: Tensor, kind: Kind) -> None:
    """Refuse targets (M, ...), (N, ...) that no probe can learn from, by ValueError.

    That is when there is nothing to tell apart, or what is learned cannot occur in the test.
    """
    if kind == "class":
        shown = train.unique()
        if len(shown) < 2:
            raise ValueError(
                f"data.root: the {len(train)} labelled train images show one class only"
                f" ({int(shown[0])}); at least 2 are needed, raise limit_train or name data with"
                " more classes"
            )
        if not torch.isin(test, shown).any():
            raise ValueError(
                "data.root: no test image is of a class that train shows"
                f" ({shown.tolist()[:20]}); the folders of both splits must carry the same class"
                " names"
            )
    elif train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"labels: train has {train.shape[1]} per image and test {test.shape[1]}; give both the"
            " same"
        )
    elif kind == "multilabel" and not (test.any(0) & train.any(0) & ~train.all(0)).any():
        raise ValueError(
            f"labels: none of {test.shape[1]} is sometimes 1 and sometimes 0 in train and ever 1"
            f" in the {len(test)} test images; raise train_images and test_images"
        )
    elif kind == "value" and ((train == train[0]).all() or (test == test[0]).all(0).any()):
        raise ValueError(
            f"labels: all {len(train)} train or all {len(test)} test images have the same value;"
            " there is nothing to explain, raise train_images and test_images"
        )
