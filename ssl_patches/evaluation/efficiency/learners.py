"""Choose what learns from some labelled images: of labels or of masks.

A learner knows one model and the images, reads features once, when they are first needed, and
answers for the test images from any draw of labelled ones. It adds no probe: ``linear`` and ``knn``
are those of ``probes.frozen`` and ``probes.segmentation``, ``finetune`` is that of
``probes.finetune`` with more steps where labels are few.
"""

from __future__ import annotations

from typing import Any

from ssl_patches.data.source import HasMasks, ImageSource
from ssl_patches.evaluation.efficiency.label_learner import BALANCED, LabelLearner
from ssl_patches.evaluation.efficiency.learner import Learner
from ssl_patches.evaluation.efficiency.mask_learner import MaskLearner
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.probes.inputs import ProbeInputs


def learner_of(inputs: ProbeInputs, *, of: str, metric: str | None = None) -> Learner:
    """Return what learns the labels, or the masks, of the images.

    ``of``: auto (labels, or masks where there are no labels), labels or masks. ``metric``: balanced
    for classes, None: that of the labels. ValueError where there is neither, or too little to tell
    apart, and for a metric that does not fit.
    """
    data = inputs.images()
    masks = all(isinstance(source, HasMasks) for source in (data.train, data.test))
    some = all(_has_labels(source) for source in (data.train, data.test))
    if of == "masks" or (of == "auto" and masks and not some):
        if metric is not None:
            raise ValueError(
                f"label_efficiency.metric={metric}: is a metric of classes, and masks are learned"
                " by mean IoU; leave label_efficiency.metric out"
            )
        return MaskLearner(inputs)
    return LabelLearner(inputs, balanced=metric == BALANCED)


def _has_labels(source: ImageSource) -> bool:
    """Tell whether a source has labels; one that does not say is asked when it is read."""
    labels = source.labels
    return labels is None or bool((labels != -1).any())


def eval_key(data: EvalData) -> dict[str, Any] | None:
    """Return what the images of an evaluation and their preparation are, None where unknown."""
    images = [source.kept_key() for source in (data.train, data.test)]
    if not all(images):
        return None
    return {
        "images": images,
        "limits": [data.limit_train, data.limit_test],
        "mean": list(data.mean),
        "std": list(data.std),
        "image_size": data.image_size,
        "precision": data.precision,
    }
