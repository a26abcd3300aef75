"""Learn the class of every pixel from some images with masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_patches.data.masks import WithMasks
from ssl_patches.data.order import permutation
from ssl_patches.evaluation.efficiency.cells import nothing
from ssl_patches.evaluation.efficiency.draws import (
    PER_CLASS,
    draws_of,
    numbers_of_images,
)
from ssl_patches.evaluation.efficiency.learner import (
    FROZEN,
    LEAST_STEPS,
    SETTINGS,
    TUNED,
    Learner,
    Progress,
)
from ssl_patches.evaluation.miou import count_matches, miou
from ssl_patches.evaluation.probes.finetune_masks import (
    BATCH,
    ChosenMasks,
    finetune_masks,
    scores_by,
)
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.segmentation import read_maps, scores_of
from ssl_patches.evaluation.protocol import HELD_OUT


class MaskLearner(Learner):
    """Learns the class of every pixel from a feature map; answers are counts of pixels."""

    batch = BATCH

    def __init__(self, inputs: ProbeInputs) -> None:
        super().__init__(inputs)
        self.metric, self.key = (
            "miou",
            {"labels": "masks", "finetune": [SETTINGS, LEAST_STEPS, BATCH]},
        )
        self.columns = FROZEN if inputs.encoder is None else (*FROZEN, *TUNED)
        self.fit = 5.0
        self.classes = len(WithMasks(self.eval_data.train).classes)
        whole, limit = len(self.eval_data.train), self.eval_data.limit_train
        self.count = whole if limit is None else min(whole, limit)
        self.index = _read_of(whole, limit)
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

    def divided(self, some: Tensor) -> tuple[Tensor, Tensor]:
        """Hold out the last fifth of images (m,): neighbouring frames of a video are alike."""
        held = min(max(1, round(HELD_OUT * len(some))), len(some) - 1)
        return some[: len(some) - held], some[len(some) - held :]

    def held_out_score(
        self, kept: Tensor, held: Tensor, setting: tuple[float, float], progress: Progress | None
    ) -> float:
        """Score a copy that was trained on ``kept`` (k,) by the mIoU on ``held`` (h,)."""
        asked = ChosenMasks(self.eval_data.train, self.index[held])
        return 100 * miou(self._finetuned(kept, asked, setting, progress).sum(0)).item()

    def finetuned(
        self, some: Tensor, setting: tuple[float, float], progress: Progress | None = None
    ) -> Tensor:
        """Answer by a copy trained on the images ``some`` (m,): counts (N, classes, classes)."""
        test = self.eval_data.test
        asked = ChosenMasks(test, _read_of(len(test), self.eval_data.limit_test))
        return self._finetuned(some, asked, setting, progress)

    def right(self) -> Tensor:
        """Return nothing, (0,): counts hold the truth."""
        return nothing()

    def values(self, answers: Tensor, right: Tensor, counts: Tensor) -> Tensor:
        """Compute the mIoU (R,) in percent."""
        flat = counts.double() @ answers.double().flatten(1)
        return 100 * miou(flat.view(-1, *answers.shape[1:]))

    def _finetuned(
        self,
        some: Tensor,
        asked: ChosenMasks,
        setting: tuple[float, float],
        progress: Progress | None,
    ) -> Tensor:
        """Train a copy on ``some``; returns counts (N, classes, classes) of ``asked``."""
        net = finetune_masks(
            self.inputs.network(),
            ChosenMasks(self.eval_data.train, self.index[some]),
            self.eval_data,
            epochs=self.epochs_of(len(some)),
            base_lr=setting[0],
            layer_decay=setting[1],
            progress=progress,
        )
        return count_matches(*scores_by(net, asked, self.eval_data))


def _read_of(count: int, limit: int | None) -> Tensor:
    """Return the indices (m,) of the images that are read, in their order."""
    if limit is None:
        return torch.arange(count)
    return torch.from_numpy(permutation(count, 0, 0)[:limit].copy()).sort().values
