"""Build the encoder that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ssl_patches.config.instantiate import build
from ssl_patches.config.schema import channels_of
from ssl_patches.encoders.base import Encoder


def encoder(
    cfg: Mapping[str, Any], *, allowed: tuple[str, ...] | None = None, pretrained: bool = False
) -> Encoder:
    """The encoder with random weights, a function of ``seed`` alone, or with those that it is to
    begin from.

    Only training asks for ``pretrained``: who restores a run has all weights, and the file may be
    gone.
    """
    torch.manual_seed(cfg["seed"])
    node = (
        cfg["encoder"]
        if pretrained
        else {key: value for key, value in cfg["encoder"].items() if key != "pretrained"}
    )
    return build(node, allowed=allowed, image_size=cfg["image_size"], channels=channels_of(cfg))
