"""Learn the class of every pixel from some images with masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_patches.data.masks import WithMasks
from ssl_patches.evaluation.efficiency.cells import nothing
from ssl_patches.evaluation.efficiency.draws import (
    PER_CLASS,
    draws_of,
    numbers_of_images,
)
from ssl_patches.evaluation.efficiency.learner import FROZEN, Learner, Progress
from ssl_patches.evaluation.miou import count_matches, miou
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.segmentation import read_maps, scores_of


class MaskLearner(Learner):
    """Learns the class of every pixel from a feature map; answers are counts of pixels."""

    def __init__(self, inputs: ProbeInputs) -> None:
        super().__init__(inputs)
        self.metric, self.columns, self.key = "miou", FROZEN, {"labels": "masks"}
        self.fit = 5.0
        self.classes = len(WithMasks(self.eval_data.train).classes)
        whole, limit = len(self.eval_data.train), self.eval_data.limit_train
        self.count = whole if limit is None else min(whole, limit)
        self.maps: list[tuple[Tensor, Tensor]] = []

    def numbers(self, wanted: Sequence[int] | None) -> list[int | None]:
        """Return the numbers of labelled images, None for all. ValueError for too many."""
        return numbers_of_images(self.count, wanted, defaults=PER_CLASS)

    def draws(self, number: int | None, count: int) -> list[Tensor]:
        """Draw images ``count`` times: positions (m,)."""
        every = torch.zeros(self.count)
        return draws_of(every, kind=None, number=number, draws=count)

    def size(self, some: Tensor) -> float:
        """Return the number of images of a draw (m,)."""
        return float(len(some))

    def read(self, progress: Progress | None = None) -> None:
        """Read the feature maps and masks of all images, once."""
        if not self.maps:
            found = read_maps(self.inputs.encoder, self.eval_data, model=self.inputs.model)
            self.maps, self.count = found, len(found[0][0])
            if progress is not None:
                progress(self.images)

    def frozen(self, some: Tensor) -> dict[str, Tensor]:
        """Answer by single positions of the map: counts (N, classes, classes) of each column."""
        self.read()
        (train, masks), (test, truth) = self.maps
        scores = scores_of(train[some], masks[some], test, classes=self.classes)
        return {name: count_matches(scores[name], truth) for name in FROZEN}

    def right(self) -> Tensor:
        """Return nothing, (0,): counts hold the truth."""
        return nothing()

    def values(self, answers: Tensor, right: Tensor, counts: Tensor) -> Tensor:
        """Compute the mIoU (R,) in percent."""
        flat = counts.double() @ answers.double().flatten(1)
        return 100 * miou(flat.view(-1, *answers.shape[1:]))
