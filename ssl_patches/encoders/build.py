"""Build the encoder that a configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ssl_patches.config.check import check
from ssl_patches.config.instantiate import build
from ssl_patches.config.schema import SUPPLIED, channels_of
from ssl_patches.encoders.base import Encoder


def encoder(
    cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None, pretrained: bool = False
) -> Encoder:
    """Build an encoder with random weights, a function of ``seed`` alone, or with given ones.

    Only training asks for ``pretrained`` (the weights to begin from): who restores a run has all
    weights, and the file may be gone. ``allowed``: the ``_target_``s that may be named; None: any.
    ValueError where the settings do not fit.
    """
    with seeded(cfg["seed"]):
        return next_encoder(cfg, allowed=allowed, pretrained=pretrained)


def next_encoder(
    cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None, pretrained: bool = False
) -> Encoder:
    """Build an encoder as ``encoder`` does, but draw its weights from torch's generator as it is.

    For use within ``seeded``, where heads are to be drawn after it. ValueError as there.
    """
    node = (
        cfg["encoder"]
        if pretrained
        else {key: value for key, value in cfg["encoder"].items() if key != "pretrained"}
    )
    if allowed is not None:
        supplied = {"encoder": SUPPLIED["encoder"]}
        node = check({"encoder": node}, supplied=supplied, allowed=allowed)["encoder"]
    return build(node, allowed=allowed, image_size=cfg["image_size"], channels=channels_of(cfg))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Start torch's CPU generator from ``seed`` for the block; after it, it is as it was."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        yield
