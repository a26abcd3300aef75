"""Hold the images of an evaluation and how they are read: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_patches.data.source import ImageSource, as_source
from ssl_patches.evaluation.features.extract import Precision


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The images and how they are read: the same for every model. Sources load at
    ``image_size``."""

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
    large: tuple[ImageSource, ImageSource] | None = (
        None  # the same at their own size, for probes that cut; None: as above
    )

    def __post_init__(self) -> None:
        for name in ("train", "test"):  # of somebody else's class: with defaults
            object.__setattr__(self, name, as_source(getattr(self, name)))
