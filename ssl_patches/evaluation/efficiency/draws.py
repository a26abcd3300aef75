"""Choose numbers of labels, and draw the labelled images of each several times.

Of classes a number is images per class, of yes/no labels, values and masks it is images. Draws are
those of low-shot learning (``probes.lowshot``): the same for every model.

The trap: a class with fewer images than asked. Where the numbers were typed they are refused;
where they were not, such a class gives all that it has, as in low-shot learning.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.probes.linear import shuffled
from ssl_patches.evaluation.probes.lowshot import draws_per_class

PER_CLASS = (1, 5, 10, 50, 100)
IMAGES = (5, 10, 50, 100, 500, 1000)
"""Numbers where none are typed: images per class, and images where labels are no classes."""
KEY = "label_efficiency.labels"


def numbers_of_classes(labels: Tensor, wanted: Sequence[int] | None) -> list[int | None]:
    """Return the numbers of labels per class, ascending, and None for all.

    ``labels`` (M,) int64. ValueError for a typed number that some class has not, naming the most.
    """
    found, sizes = labels.unique(return_counts=True)
    if wanted is None:
        return [*(number for number in PER_CLASS if number < int(sizes.max())), None]
    least = int(sizes.min())
    if max(wanted) > least:
        raise ValueError(
            f"{KEY}={_shown(wanted)}: class {int(found[sizes.argmin()])} has {least} labelled"
            f" training images; name numbers up to {least}, or leave {KEY} out to take what there"
            " is"
        )
    return [*sorted(wanted), None]


def numbers_of_images(
    count: int, wanted: Sequence[int] | None, *, defaults: Sequence[int] = IMAGES, least: int = 1
) -> list[int | None]:
    """Return the numbers of labelled images out of ``count``, ascending, and None for all.

    ``least``: the fewest that anything is learned from. ValueError for a typed number beyond both.
    """
    if wanted is None:
        return [*(number for number in defaults if least <= number < count), None]
    if max(wanted) > count or min(wanted) < least:
        raise ValueError(
            f"{KEY}={_shown(wanted)}: there are {count} labelled training images, and {least} are"
            f" needed; name numbers from {least} to {count}, or leave {KEY} out"
        )
    return [*sorted(wanted), None]


def draws_of(targets: Tensor, *, kind: Kind | None, number: int | None, draws: int) -> list[Tensor]:
    """Draw labelled images ``draws`` times: indices (m,) int64 of each, sorted.

    ``targets`` (M, ...); ``kind``: None for masks; ``number`` None: all of them, once.
    """
    if number is None:
        return [torch.arange(len(targets))]
    if kind == "class":
        counts = {int(label): number for label in targets.unique()}
        return list(draws_per_class(targets, counts, draws=draws))
    return [shuffled(len(targets), seed=seed)[:number].sort().values for seed in range(draws)]


def _shown(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"
