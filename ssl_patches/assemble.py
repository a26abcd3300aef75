"""From a checked configuration to the live parts of a run: sizes are derived here, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from ssl_patches import conf_files, mixture
from ssl_patches.checks import build, locate, signature
from ssl_patches.data.cache import MAX_GB, CachedSource, folder_of
from ssl_patches.data.items import ItemSource
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.statistics import check_statistics, measured
from ssl_patches.encoders.base import Encoder
from ssl_patches.optim import Recipe
from ssl_patches.pretrainer import Part
from ssl_patches.resample import normalised
from ssl_patches.sampler import IMAGENET_MEAN, IMAGENET_STD
from ssl_patches.schema import LOADER

OURS = ("ssl_patches.data", "ssl_patches.encoders")
"""Where of this package the classes lie that a configuration found in a run directory may name."""
CALIBRATION_IMAGES = 1024


@dataclass(frozen=True)
class Parts:
    """What trains: the encoder, and how views are made, cut and asked about."""

    encoder: Encoder
    views: nn.Module
    parts: list[Part]
    recipe: Recipe


def trusted() -> tuple[str, ...]:
    """Packages whose classes a configuration found in a run directory may name: ours, and those that somebody installed
    to add to ours (``conf_files.plugins``)."""
    return (*OURS, *(plugin.package for plugin in conf_files.plugins()))


def channels_of(cfg: Mapping[str, Any]) -> int:
    return cfg["data"].get("channels") or 3


def pixel_statistics(
    cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the pixels in 0..1: ImageNet's, those given, or those of the training images.

    ``data.statistics`` is ``imagenet`` (None; averaged for any number of channels but three), ``measured``, or
    ``{mean: [...], std: [...]}``.
    """
    channels, stated = channels_of(cfg), cfg["data"].get("statistics") or "imagenet"
    if stated == "measured":
        stated = measured(source(cfg, "train", whole=True, allowed=allowed), num_workers=cfg["data"]["num_workers"])
    if isinstance(stated, Mapping):
        return check_statistics(stated, channels)
    if channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD
    return (sum(IMAGENET_MEAN) / 3,) * channels, (sum(IMAGENET_STD) / 3,) * channels


def settled(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """``cfg`` with measured statistics as numbers: whoever reads a run later needs neither its images nor our cache."""
    if cfg["data"].get("statistics") != "measured":
        return dict(cfg)
    mean, std = pixel_statistics(cfg)
    return {**cfg, "data": {**cfg["data"], "statistics": {"mean": list(mean), "std": list(std)}}}


def data_name(data: Mapping[str, Any]) -> str:
    """What tables call the images: the data set's or the folder's own name, or the kind of source."""
    name = str(data.get("name") or Path(str(data.get("root") or data.get("path") or "")).stem)
    return name or data["_target_"].rpartition(".")[2].removesuffix("Source").lower()


def source(cfg: Mapping[str, Any], split: str, *, whole: bool, allowed: tuple[str, ...] | None = None) -> Any:
    """The images of a split. ``whole``: at the size of the exported preprocessing, for calibration and evaluation.

    A Dataset of the user's own gets what it takes of ``split``, ``image_size``, ``load_size`` and ``channels``; what it
    returns becomes a source unless it is one already (it has a ``fingerprint``).
    """
    node, size = {key: value for key, value in cfg["data"].items() if key not in LOADER}, cfg["image_size"]
    sizes = {"image_size": size, "load_size": size if whole else None, "channels": channels_of(cfg)}
    knobs, _ = signature(locate(node["_target_"], key="data._target_", allowed=allowed))
    given = {key: value for key, value in {"split": split, **sizes}.items() if key in knobs}
    found = build(node, allowed=allowed, **given)
    if hasattr(found, "fingerprint"):
        return found
    return ItemSource(found, where=f"data._target_={node['_target_']}", split=split, divide="split" not in knobs, **sizes)


def stream(cfg: Mapping[str, Any], split: str) -> Any:
    """The images that training reads: those of ``source`` at their own size, from a cache where ``data.cache`` asks for it."""
    found, data = source(cfg, split, whole=False), cfg["data"]
    if not data.get("cache"):
        return found
    deciding = {key: value for key, value in data.items() if key not in {*LOADER, "max_corrupt"}}
    identity = json.dumps({"split": split, **deciding}, sort_keys=True, default=str)
    return CachedSource(found, identity=identity, place=folder_of(data["cache"]), max_gb=data.get("cache_max_gb") or MAX_GB)


def whole_batches(cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None) -> Iterator[Tensor]:
    """Training images as the exported model gets them, (B, C, S, S) normalised: what an encoder is calibrated with."""
    mean, std = (torch.tensor(part).view(-1, 1, 1) for part in pixel_statistics(cfg, allowed=allowed))
    train = source(cfg, "train", whole=True, allowed=allowed)
    for batch in ordered_loader(train, batch_size=128, num_workers=0, limit=CALIBRATION_IMAGES):
        yield normalised(batch.images, mean, std)


def encoder(cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None, pretrained: bool = False) -> Encoder:
    """The encoder with random weights, a function of ``seed`` alone, or with those that it is to begin from.

    Only training asks for ``pretrained``: who restores a run has all weights, and the file may be gone.
    """
    torch.manual_seed(cfg["seed"])
    node = cfg["encoder"] if pretrained else {key: value for key, value in cfg["encoder"].items() if key != "pretrained"}
    return build(node, allowed=allowed, image_size=cfg["image_size"], channels=channels_of(cfg))


def observers(cfg: Mapping[str, Any]) -> list[L.Callback]:
    """What watches the run. ValueError for a node that is no callback of Lightning's."""
    built = {key: build(node) for key, node in (cfg.get("callbacks") or {}).items()}
    for key, found in built.items():
        if not isinstance(found, L.Callback):
            raise ValueError(
                f"callbacks.{key}={cfg['callbacks'][key]['_target_']}: must be a lightning.Callback; "
                "derive it from that, or take it out"
            )
    return list(built.values())


def parts(cfg: Mapping[str, Any]) -> Parts:
    """Everything that trains. Raises ValueError where parts do not fit each other."""
    size, (mean, std) = cfg["image_size"], pixel_statistics(cfg)
    net = encoder(cfg, pretrained=True)
    views = build(cfg["views"], image_size=size)
    built = []
    for name, node in mixture.nodes(cfg).items():
        sampler = build(node["sampler"], image_size=size, unit=net.unit, multiple=net.multiple, mean=mean, std=std)
        task = build(node["task"], dim=net.dim, grid=sampler.grid)
        net.check(sampler.grid, places=task.places)
        built.append(Part(name, sampler, task, node["weight"]))
    return Parts(net, views, built, build(cfg["optimizer"]))
