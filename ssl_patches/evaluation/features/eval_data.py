"""Hold the images of an evaluation and how they are read: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_patches.data.source import ImageSource
from ssl_patches.data.wrapped import as_source
from ssl_patches.evaluation.features.extract import Precision


@dataclass(frozen=True, kw_only=True)
class EvalData:
    """The images of an evaluation and how they are read. Sources load at ``image_size`` pixels.

    ``mean``, ``std``: per channel, of pixels in 0..1. ``limit_train``, ``limit_test``: the most
    images that are read, a fixed random part; None: all. ``large``: train and test at their own
    size, for probes that cut pieces out (``Probe.cuts``); None: those of ``image_size``.
    """

    train: ImageSource
    test: ImageSource
    batch_size: int
    num_workers: int
    mean: Sequence[float]
    std: Sequence[float]
    image_size: int
    limit_train: int | None = None
    limit_test: int | None = None
    device: str = "cpu"
    precision: Precision = "fp32"
    large: tuple[ImageSource, ImageSource] | None = None

    def __post_init__(self) -> None:
        for name in ("train", "test"):  # of somebody else's class: with defaults
            object.__setattr__(self, name, as_source(vars(self)[name]))

    @property
    def images(self) -> int:
        """Return how many images are read, of train and test together."""
        both = (self.train, self.limit_train), (self.test, self.limit_test)
        return sum(min(len(source), limit or len(source)) for source, limit in both)
