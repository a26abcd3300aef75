"""Choose how many images the evaluation of a short run reads.

Evaluating an image takes two forward passes, of the encoder and of random weights, which is most of
a training step of it. A run that sees its images once or twice would spend as long on being
evaluated as on training. So it is asked about a part of them, and bounds say how sure that is.

The trap: runs that are compared must be evaluated on the same images. Therefore the number follows
from the budget in images or epochs, not from the clock nor from the FLOPs of a task; runs of four
epochs or more read all that they always did; and studies and sweeps are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # opens images, which most requests do not need
    from ssl_patches.data.advice import Choice

SHARE = 4
"""A run sees this many images for each that its evaluation reads."""
FEWEST = 1_000
"""Images that are read in any case, where there are so many."""
TEST = 5
"""One of so many is a test image."""
USUAL = {"train_images": 10_000, "test_images": None}
"""What conf/pretrain.yaml says; whoever says otherwise is heard."""


def fewer_evaluated(
    cfg: Mapping[str, Any], images: int, *, given: Collection[str] = ()
) -> list[Choice]:
    """Choose the images of the evaluation; nothing where the run is long, or its numbers are set.

    ``images``: to train on, at least. ``given``: the keys that were typed.
    """
    evaluation = cfg["evaluation"]
    seen = _seen(cfg["budget"], images)
    usual = all(
        evaluation[key] == value and f"evaluation.{key}" not in given
        for key, value in USUAL.items()
    )
    if seen is None or not usual or not evaluation["probes"]:
        return []
    together = max(FEWEST, int(seen / SHARE) // 100 * 100)
    test = together // TEST
    if together - test >= min(images, USUAL["train_images"] or images):
        return []
    from ssl_patches.data.advice import Choice

    why = f"a run of {seen:,.0f} images; evaluating more would cost much of it"
    return [
        Choice(f"evaluation.train_images={together - test}", why),
        Choice(f"evaluation.test_images={test}", "of the held-out ones, likewise"),
    ]


def _seen(budget: Mapping[str, Any], images: int) -> float | None:
    """Return how many images a run sees; None where its budget says so in none of these words."""
    if budget["images"] is not None:
        return float(budget["images"])
    return None if budget["epochs"] is None else budget["epochs"] * images
