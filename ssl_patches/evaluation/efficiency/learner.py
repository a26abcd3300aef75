"""Say what learns from some labelled images: one model on one data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ssl_patches.evaluation.probes.inputs import ProbeInputs

FROZEN = ("linear", "knn")
TUNED = ("finetune", "scratch")
Progress = Callable[[int], None]


class Learner(ABC):
    """One model on one data set, to be taught from some labelled images.

    ``metric``: the last word of its rows. ``columns``: of ``FROZEN`` and ``TUNED``, those that it
    can answer. ``key``: what decides its answers besides the images. ``fit``: about how long a
    frozen fit takes per image, where a forward pass is 1; it is for the time left only.
    """

    metric: str
    columns: tuple[str, ...]
    key: Mapping[str, Any]
    fit: float

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

    @abstractmethod
    def right(self) -> Tensor:
        """Return what is right, (N, ...) targets; empty where answers hold it."""

    @abstractmethod
    def values(self, answers: Tensor, right: Tensor, counts: Tensor) -> Tensor:
        """Compute the metric (R,) in percent; ``counts`` (R, N): how often an image counts."""
