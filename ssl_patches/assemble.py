"""From a checked configuration to the live parts of a run: sizes are derived here, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ssl_patches.checks import build
from ssl_patches.encoders.base import Encoder
from ssl_patches.optim import Recipe
from ssl_patches.pretrainer import Part
from ssl_patches.sampler import IMAGENET_MEAN, IMAGENET_STD

OURS = ("ssl_patches",)
"""Packages whose classes a configuration found in a run directory may name."""

LOADER = {"batch_size": int, "num_workers": int}
"""Keys of the data group that say how to load, not what; its ``_target_`` does not get them."""

SUPPLIED = {
    "data": {"split", "image_size", "load_size"},
    "views": {"image_size"},
    "sampler": {"image_size", "unit", "multiple", "mean", "std"},
    "encoder": {"image_size", "channels"},
    "task": {"dim", "grid"},
    "logger": {"run_dir"},
    "optimizer": set(),
    "trainer": set(),
}
"""What the program gives to each group of the configuration."""


@dataclass(frozen=True)
class Parts:
    """What trains: the encoder, and how views are made, cut and asked about."""

    encoder: Encoder
    views: nn.Module
    part: Part
    recipe: Recipe


def channels_of(cfg: Mapping[str, Any]) -> int:
    return cfg["data"].get("channels", 3)


def pixel_statistics(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the pixels in 0..1, ImageNet's; their average for any number of channels but three."""
    if channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD
    return (sum(IMAGENET_MEAN) / 3,) * channels, (sum(IMAGENET_STD) / 3,) * channels


def source(cfg: Mapping[str, Any], split: str, *, whole: bool, allowed: tuple[str, ...] | None = None) -> Any:
    """The images of a split. ``whole``: at the size of the exported preprocessing, for calibration and evaluation."""
    node = {key: value for key, value in cfg["data"].items() if key not in LOADER}
    size = cfg["image_size"]
    return build(node, allowed=allowed, split=split, image_size=size, load_size=size if whole else None)


def encoder(cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None) -> Encoder:
    """The encoder with its initial weights, which are a function of ``seed`` alone."""
    torch.manual_seed(cfg["seed"])
    return build(cfg["encoder"], allowed=allowed, image_size=cfg["image_size"], channels=channels_of(cfg))


def parts(cfg: Mapping[str, Any]) -> Parts:
    """Everything that trains. Raises ValueError where parts do not fit each other."""
    size, (mean, std) = cfg["image_size"], pixel_statistics(channels_of(cfg))
    net = encoder(cfg)
    views = build(cfg["views"], image_size=size)
    sampler = build(cfg["sampler"], image_size=size, unit=net.unit, multiple=net.multiple, mean=mean, std=std)
    task = build(cfg["task"], dim=net.dim, grid=sampler.grid)
    net.check(sampler.grid, places=task.places)
    name = cfg["task"]["_target_"].rpartition(".")[2].lower()
    return Parts(net, views, Part(name, sampler, task), build(cfg["optimizer"]))
