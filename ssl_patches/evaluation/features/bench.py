"""Hold the images of an evaluation and how they are read: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

from ssl_patches.evaluation.features.extract import Precision


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The images and how they are read: the same for every model. Sources load at
    ``image_size``."""

    train: Dataset[Any]
    test: Dataset[Any]
    batch_size: int
    num_workers: int
    mean: Sequence[float]
    std: Sequence[float]
    image_size: int
    limit_train: int | None = None
    limit_test: int | None = None
    device: str = "cpu"
    precision: Precision = "fp32"
    large: tuple[Dataset[Any], Dataset[Any]] | None = (
        None  # the same at their own size, for probes that cut; None: as above
    )
