"""From a checked configuration to the live parts of a run: sizes are derived here, nothing is
written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
from torch import nn

from ssl_patches.config import mixture
from ssl_patches.config.instantiate import build
from ssl_patches.config.schema import LOADER
from ssl_patches.data.build import pixel_statistics, source
from ssl_patches.data.cache import MAX_GB, CachedSource, folder_of
from ssl_patches.data.live import Datasets
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.build import encoder
from ssl_patches.training.optim import Recipe
from ssl_patches.training.pretrainer import Part
from ssl_patches.training.spread import Spread
from ssl_patches.views.resample import BY_PRODUCTS


@dataclass(frozen=True)
class Parts:
    """What trains: the encoder, and how views are made, cut and asked about."""

    encoder: Encoder
    views: nn.Module
    parts: list[Part]
    recipe: Recipe
    spread: Spread | None = None


def stream(
    cfg: Mapping[str, Any], split: str, *, sources: Datasets | None = None
) -> ImageSource:
    """The images that training reads: those of ``source`` at their own size, from a cache where
    ``data.cache`` asks for it."""
    found, data = source(cfg, split, whole=False, sources=sources), cfg["data"]
    if not data.get("cache"):
        return found
    deciding = {key: value for key, value in data.items() if key not in {*LOADER, "max_corrupt"}}
    identity = json.dumps({"split": split, **deciding}, sort_keys=True, default=str)
    return CachedSource(
        found,
        identity=identity,
        place=folder_of(data["cache"]),
        max_gb=data.get("cache_max_gb") or MAX_GB,
        channels_last=found[0][0].shape[-1]
        > BY_PRODUCTS,  # larger images are resized faster that way
    )


def observers(cfg: Mapping[str, Any]) -> list[L.Callback]:
    """What watches the run. ValueError for a node that is no callback of Lightning's."""
    built = {key: build(node) for key, node in (cfg.get("callbacks") or {}).items()}
    for key, found in built.items():
        if not isinstance(found, L.Callback):
            raise ValueError(
                f"callbacks.{key}={cfg['callbacks'][key]['_target_']}: must be a"
                " lightning.Callback; derive it from that, or take it out"
            )
    return list(built.values())


def parts(cfg: Mapping[str, Any]) -> Parts:
    """Everything that trains. Raises ValueError where parts do not fit each other."""
    size, (mean, std) = cfg["image_size"], pixel_statistics(cfg)
    net = encoder(cfg, pretrained=True)
    views = build(cfg["views"], image_size=size)
    built = []
    for name, node in mixture.nodes(cfg).items():
        sampler = build(
            node["sampler"],
            image_size=size,
            unit=net.unit,
            multiple=net.multiple,
            mean=mean,
            std=std,
        )
        task = build(node["task"], dim=net.dim, grid=sampler.grid)
        net.check(sampler.grid, places=task.places)
        built.append(Part(name, sampler, task, node["weight"]))
    if (wrong := _nothing_to_compare(views, built)) is not None:
        raise ValueError(wrong)
    spread = build(cfg["spread"]) if cfg.get("spread") else None
    return Parts(net, views, built, build(cfg["optimizer"]), spread)


def _nothing_to_compare(views: nn.Module, parts: list[Part]) -> str | None:
    """Say what is wrong where a task compares views and each image has one."""
    crops = getattr(views, "large", 1) + getattr(views, "small", 0)
    for part in parts:
        if part.task.compares and crops < 2:
            return (
                f"task={part.name}: compares views, and each image has one; set views=two_crops, or "
                "task=subsets, which compares parts of one view"
            )
    if getattr(views, "small_size", None) and not all(part.task.compares for part in parts):
        return (
            f"views.small_size={views.small_size}: small crops are for tasks that compare views; "
            "set views.small_size=null"
        )
    return None
