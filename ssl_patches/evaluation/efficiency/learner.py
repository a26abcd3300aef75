"""Say what learns from some labelled images: one model on one data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

from torch import Tensor

from ssl_patches.evaluation.probes.finetune import RECIPE
from ssl_patches.evaluation.probes.inputs import ProbeInputs

FROZEN = ("linear", "knn")
TUNED = ("finetune", "scratch")
SETTINGS = ((2e-3, 0.75), (5e-4, 0.75), (2e-3, 1.0), (8e-3, 0.75), (5e-4, 1.0), (8e-3, 1.0))
"""Base learning rate and layer decay of each trial of fine-tuning, in this order."""
LEAST_STEPS = 100
"""Steps of fine-tuning where ten epochs of few labels are fewer."""
Progress = Callable[[int], None]


def chosen_setting(scores: Mapping[tuple[float, float], float]) -> tuple[float, float]:
    """Return the setting with the best held-out score; the first of equal ones, NaN is none."""
    known = {key: value if value == value else float("-inf") for key, value in scores.items()}
    return max(known, key=lambda key: known[key])


def told_scores(scores: Mapping[tuple[float, float], float]) -> dict[str, float]:
    """Return the scores of settings as a cell keeps them."""
    return {f"{rate:g}, {decay:g}": value for (rate, decay), value in scores.items()}


class Learner(ABC):
    """One model on one data set, to be taught from some labelled images.

    ``metric``: the last word of its rows. ``columns``: of ``FROZEN`` and ``TUNED``, those that it
    can answer. ``key``: what decides its answers besides the images. ``fit``: about how long a
    frozen fit takes per image, where a forward pass is 1; it is for the time left only. ``batch``:
    images of a step of fine-tuning.
    """

    metric: str
    columns: tuple[str, ...]
    key: Mapping[str, Any]
    fit: float
    batch: int

    def __init__(self, inputs: ProbeInputs) -> None:
        self.inputs, self.eval_data = inputs, inputs.images()

    @abstractmethod
    def numbers(self, wanted: Sequence[int] | None) -> list[int | None]:
        """Return the numbers of labels to learn from, None for all. ValueError for too many."""

    @abstractmethod
    def draws(self, number: int | None, count: int) -> list[Tensor]:
        """Draw labelled images ``count`` times: positions (m,) among the labelled ones."""

    @abstractmethod
    def size(self, some: Tensor) -> float:
        """Return how many labels a draw (m,) is: images per class, or images."""

    @property
    def images(self) -> int:
        """Return how many images are read."""
        data = self.eval_data
        pairs = ((data.train, data.limit_train), (data.test, data.limit_test))
        return sum(min(len(source), limit or len(source)) for source, limit in pairs)

    @abstractmethod
    def read(self, progress: Progress | None = None) -> None:
        """Read the features of all images, once; ``progress`` is told the images of each batch."""

    @abstractmethod
    def frozen(self, some: Tensor) -> dict[str, Tensor]:
        """Answer (N, ...) by each of ``FROZEN`` for the test images, from images ``some`` (m,)."""

    def choose(
        self, some: Tensor, trials: int, progress: Progress | None = None
    ) -> tuple[tuple[float, float], dict[str, float]]:
        """Choose the setting of fine-tuning on a part of images ``some`` (m,); tell the scores.

        The first of ``SETTINGS`` where nothing can be held out, or of one trial.
        """
        if trials == 1:
            return SETTINGS[0], {}
        kept, held = self.divided(some)
        if not len(held):
            return SETTINGS[0], {}
        scores = {
            setting: self.held_out_score(kept, held, setting, progress)
            for setting in SETTINGS[:trials]
        }
        return chosen_setting(scores), told_scores(scores)

    @abstractmethod
    def divided(self, some: Tensor) -> tuple[Tensor, Tensor]:
        """Divide images (m,) into those to learn from and those held out, which may be none."""

    @abstractmethod
    def held_out_score(
        self, kept: Tensor, held: Tensor, setting: tuple[float, float], progress: Progress | None
    ) -> float:
        """Score on ``held`` (h,), in percent, a copy that was trained on ``kept`` (k,)."""

    @abstractmethod
    def finetuned(
        self, some: Tensor, setting: tuple[float, float], progress: Progress | None = None
    ) -> Tensor:
        """Answer (N, ...) by a copy that was trained on the images ``some`` (m,)."""

    def epochs_of(self, some: int) -> int:
        """Return the epochs of fine-tuning on so many images: ten, or more where they are few."""
        batch = min(self.batch, some)
        return max(RECIPE["epochs"], ceil(LEAST_STEPS * batch / some))

    @abstractmethod
    def right(self) -> Tensor:
        """Return what is right, (N, ...) targets; empty where answers hold it."""

    @abstractmethod
    def values(self, answers: Tensor, right: Tensor, counts: Tensor) -> Tensor:
        """Compute the metric (R,) in percent; ``counts`` (R, N): how often an image counts."""
