"""Build the objects of a run from a checked configuration; nothing is written.

Sizes are derived here.
"""

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
from ssl_patches.data.module import items_of
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.build import next_encoder, seeded
from ssl_patches.training.optim import OptimizerConfig
from ssl_patches.training.pretrainer import Part
from ssl_patches.training.spread import Spread
from ssl_patches.views.module import crops_of, overlapping, small_size_of
from ssl_patches.views.resample import BY_PRODUCTS


@dataclass(frozen=True)
class Components:
    """The objects that train: encoder, views, the parts of the mixture, and the optimiser's."""

    encoder: Encoder
    views: nn.Module
    parts: list[Part]
    recipe: OptimizerConfig
    spread: Spread | None = None


def training_source(
    cfg: Mapping[str, Any], split: str, *, sources: Datasets | None = None
) -> ImageSource:
    """Build the images that training reads: at their own size, from a cache where it is asked for.

    ``split``: train or val. ``sources``: as for ``data.build.source``.
    ValueError where the data cannot be read as the configuration says.
    """
    found, data = source(cfg, split, whole=False, sources=sources), cfg["data"]
    if not data.get("cache"):
        return found
    aside = {*LOADER, "max_corrupt"} - {"channels", "value_range"}
    deciding = {key: value for key, value in data.items() if key not in aside}
    identity = json.dumps({"split": split, **deciding}, sort_keys=True, default=str)
    return CachedSource(
        found,
        identity=identity,
        place=folder_of(data["cache"]),
        max_gb=data.get("cache_max_gb") or MAX_GB,
        # larger images are resized faster that way
        channels_last=items_of(found, [0])[0][0].shape[-1] > BY_PRODUCTS,
    )


def observers(cfg: Mapping[str, Any]) -> list[L.Callback]:
    """Build the callbacks that the configuration asks for.

    ValueError for a node that is no callback of Lightning's.
    """
    built = {key: build(node) for key, node in (cfg.get("callbacks") or {}).items()}
    for key, found in built.items():
        if not isinstance(found, L.Callback):
            raise ValueError(
                f"callbacks.{key}={cfg['callbacks'][key]['_target_']}: must be a"
                " lightning.Callback; derive it from that, or take it out"
            )
    return list(built.values())


def components(cfg: Mapping[str, Any]) -> Components:
    """Build everything that trains; weights are a function of ``seed`` alone.

    ValueError where parts do not fit each other.
    """
    size, (mean, std) = cfg["image_size"], pixel_statistics(cfg)
    built = []
    with seeded(cfg["seed"]):  # the weights of heads are drawn after those of the encoder
        net = next_encoder(cfg, pretrained=True)
        views = build(cfg["views"], image_size=size)
        derived: dict[str, Any] = {
            "unit": net.unit,
            "multiple": net.multiple,
            "mean": mean,
            "std": std,
        }
        for name, node in mixture.nodes(cfg).items():
            sampler = build(node["sampler"], image_size=size, **derived)
            task = build(node["task"], dim=net.dim, grid=sampler.grid)
            net.check(sampler.grid, places=task.places)
            built.append(Part(name, sampler, task, node["weight"]))
    if (wrong := _nothing_to_compare(views, built)) is not None:
        raise ValueError(wrong)
    spread = build(cfg["spread"]) if cfg.get("spread") else None
    return Components(net, views, built, build(cfg["optimizer"]), spread)


def _nothing_to_compare(views: nn.Module, parts: list[Part]) -> str | None:
    """Say what is wrong where a task compares views and each image has one."""
    crops, small_size = crops_of(views), small_size_of(views)
    for part in parts:
        if part.task.compares and crops < 2:
            return (
                f"task={part.name}: compares views, and each image has one; set views=two_crops,"
                " or task=subsets, which compares parts of one view"
            )
        if part.task.overlap and not overlapping(views):
            return (
                "task.positions=true: compares views position by position, and they may show"
                " different places; set views=near_crops, or views.near=0.25 of views=two_crops"
            )
    if small_size and not all(part.task.compares for part in parts):
        return (
            f"views.small_size={small_size}: small crops are for tasks that compare views; "
            "set views.small_size=null"
        )
    return None
