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
from ssl_patches.data.live import LIVE, Datasets, of_datasets
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.source import ImageSource, as_source
from ssl_patches.data.statistics import check_statistics, measured

CALIBRATION_IMAGES = 1024


def pixel_statistics(
    cfg: Mapping[str, Any],
    *,
    allowed: tuple[str, ...] | None = None,
    sources: Datasets | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of the pixels, shares 0..1, one number per channel.

    ``data.statistics`` is ``imagenet`` (None; averaged for any number of channels but three),
    ``measured`` on the training images, or ``{mean: [...], std: [...]}``. ValueError where the
    numbers do not fit the channels. ``allowed``, ``sources``: as for ``source``.
    """
    channels, stated = channels_of(cfg), cfg["data"].get("statistics") or "imagenet"
    if stated == "measured":
        stated = measured(
            source(cfg, "train", whole=True, allowed=allowed, sources=sources),
            num_workers=cfg["data"]["num_workers"],
        )
    if isinstance(stated, Mapping):
        return check_statistics(stated, channels)
    if channels == 3:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return (sum(IMAGENET_DEFAULT_MEAN) / 3,) * channels, (sum(IMAGENET_DEFAULT_STD) / 3,) * channels


def with_measured_statistics(
    cfg: Mapping[str, Any], *, sources: Datasets | None = None
) -> dict[str, Any]:
    """Return ``cfg`` with measured statistics as numbers.

    Whoever reads the run later needs neither its images nor our cache.
    """
    if cfg["data"].get("statistics") != "measured":
        return dict(cfg)
    mean, std = pixel_statistics(cfg, sources=sources)
    return {**cfg, "data": {**cfg["data"], "statistics": {"mean": list(mean), "std": list(std)}}}


def data_name(data: Mapping[str, Any]) -> str:
    """Return what tables call the images.

    The data set's or the folder's own name, or the kind of source.
    """
    name = str(data.get("name") or Path(str(data.get("root") or data.get("path") or "")).stem)
    return name or data["_target_"].rpartition(".")[2].removesuffix("Source").lower()


def source(
    cfg: Mapping[str, Any],
    split: str,
    *,
    whole: bool,
    allowed: tuple[str, ...] | None = None,
    sources: Datasets | None = None,
) -> ImageSource:
    """Build the images of a split.

    ``whole``: at the size of the exported preprocessing, for calibration and evaluation; otherwise
    at the size that crops are cut from. ``allowed``: packages that classes may come from; None:
    any. ``sources``: the Dataset objects that the configuration cannot name, by split.

    A Dataset of the user's own gets what it takes of ``split``, ``image_size``, ``load_size`` and
    ``channels``; what it returns becomes a source unless it is one already (it has a
    ``fingerprint``). ValueError for images that are not there or not fit.
    """
    node = {key: value for key, value in cfg["data"].items() if key not in LOADER}
    size, channels = cfg["image_size"], channels_of(cfg)
    load_size = size if whole else None
    if sources is not None and node["_target_"] == LIVE:
        return of_datasets(
            sources,
            name=node["name"],
            split=split,
            image_size=size,
            channels=channels,
            load_size=load_size,
        )
    knobs, _ = signature(locate(node["_target_"], key="data._target_", allowed=allowed))
    derived = {
        "split": split,
        "image_size": size,
        "load_size": load_size,
        "channels": channels,
    }
    given = {key: value for key, value in derived.items() if key in knobs}
    found = build(node, allowed=allowed, **given)
    if isinstance(found, ImageSource) or hasattr(found, "fingerprint"):
        return as_source(found)
    return ItemSource(
        found,
        where=f"data._target_={node['_target_']}",
        split=split,
        divide="split" not in knobs,
        image_size=size,
        channels=channels,
        load_size=load_size,
    )


def whole_batches(
    cfg: Mapping[str, Any],
    *,
    allowed: tuple[str, ...] | None = None,
    sources: Datasets | None = None,
) -> Iterator[Tensor]:
    """Yield training images as the exported model gets them, (B, C, S, S) normalised.

    An encoder is calibrated with these, ``CALIBRATION_IMAGES`` at most. ``allowed``, ``sources``:
    as for ``source``.
    """
    mean, std = (
        torch.tensor(part).view(-1, 1, 1)
        for part in pixel_statistics(cfg, allowed=allowed, sources=sources)
    )
    train = source(cfg, "train", whole=True, allowed=allowed, sources=sources)
    for batch in ordered_loader(train, batch_size=128, num_workers=0, limit=CALIBRATION_IMAGES):
        yield (batch.images.float().div_(255) - mean).div_(std)
