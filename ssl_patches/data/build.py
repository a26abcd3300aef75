"""Build the images that a configuration names: sources, pixel statistics, calibration batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from ssl_patches.config.instantiate import build, locate, signature
from ssl_patches.config.schema import LOADER, channels_of
from ssl_patches.data.items import ItemSource
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.statistics import check_statistics, measured

CALIBRATION_IMAGES = 1024


def pixel_statistics(
    cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the pixels in 0..1: ImageNet's, those given, or those of the training
    images.

    ``data.statistics`` is ``imagenet`` (None; averaged for any number of channels but three),
    ``measured``, or ``{mean: [...], std: [...]}``.
    """
    channels, stated = channels_of(cfg), cfg["data"].get("statistics") or "imagenet"
    if stated == "measured":
        stated = measured(
            source(cfg, "train", whole=True, allowed=allowed),
            num_workers=cfg["data"]["num_workers"],
        )
    if isinstance(stated, Mapping):
        return check_statistics(stated, channels)
    if channels == 3:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return (sum(IMAGENET_DEFAULT_MEAN) / 3,) * channels, (sum(IMAGENET_DEFAULT_STD) / 3,) * channels


def settled(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """``cfg`` with measured statistics as numbers: whoever reads a run later needs neither its
    images nor our cache."""
    if cfg["data"].get("statistics") != "measured":
        return dict(cfg)
    mean, std = pixel_statistics(cfg)
    return {**cfg, "data": {**cfg["data"], "statistics": {"mean": list(mean), "std": list(std)}}}


def data_name(data: Mapping[str, Any]) -> str:
    """What tables call the images: the data set's or the folder's own name, or the kind of
    source."""
    name = str(data.get("name") or Path(str(data.get("root") or data.get("path") or "")).stem)
    return name or data["_target_"].rpartition(".")[2].removesuffix("Source").lower()


def source(
    cfg: Mapping[str, Any], split: str, *, whole: bool, allowed: tuple[str, ...] | None = None
) -> Any:
    """The images of a split. ``whole``: at the size of the exported preprocessing, for calibration
    and evaluation.

    A Dataset of the user's own gets what it takes of ``split``, ``image_size``, ``load_size`` and
    ``channels``; what it returns becomes a source unless it is one already (it has a
    ``fingerprint``).
    """
    node, size = (
        {key: value for key, value in cfg["data"].items() if key not in LOADER},
        cfg["image_size"],
    )
    sizes = {"image_size": size, "load_size": size if whole else None, "channels": channels_of(cfg)}
    knobs, _ = signature(locate(node["_target_"], key="data._target_", allowed=allowed))
    given = {key: value for key, value in {"split": split, **sizes}.items() if key in knobs}
    found = build(node, allowed=allowed, **given)
    if hasattr(found, "fingerprint"):
        return found
    return ItemSource(
        found,
        where=f"data._target_={node['_target_']}",
        split=split,
        divide="split" not in knobs,
        **sizes,
    )


def whole_batches(
    cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None
) -> Iterator[Tensor]:
    """Training images as the exported model gets them, (B, C, S, S) normalised: what an encoder is
    calibrated with."""
    mean, std = (
        torch.tensor(part).view(-1, 1, 1) for part in pixel_statistics(cfg, allowed=allowed)
    )
    train = source(cfg, "train", whole=True, allowed=allowed)
    for batch in ordered_loader(train, batch_size=128, num_workers=0, limit=CALIBRATION_IMAGES):
        yield (batch.images.float().div_(255) - mean).div_(std)
