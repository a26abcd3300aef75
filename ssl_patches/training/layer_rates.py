"""Give each layer of an encoder its share of the learning rate."""

from __future__ import annotations

from typing import Any

from timm.models import group_parameters
from torch import nn

from ssl_patches.encoders.base import Encoder


def layer_scales(module: nn.Module, decay: float, frozen: int = 0) -> dict[str, float]:
    """Return the share of the learning rate for each parameter of an encoder; {} for a task.

    By timm's own division into layers; ``decay``: share from one layer to the one before it.
    A head would have 1, so the last block (a ViT's with its final norm) has ``decay``, the one
    before it its square, and so on; what lies outside the timm module is part of the embedding.
    ``frozen``: layers from the input that have 0. ValueError where these are all.
    """
    if not isinstance(module, Encoder):
        return {}
    model: Any = module.model  # timm's, whose methods torch's types do not know
    layers = group_parameters(model, model.group_matcher(), reverse=True)
    head = max(layers.values()) + 1
    if frozen >= head:
        raise ValueError(
            f"optimizer.frozen_layers={frozen}: {module.architecture} has {head} layers, and some"
            f" must learn; set optimizer.frozen_layers={head // 3}"
        )
    scales: list[float] = [0.0] * frozen
    scales += [decay ** (head - layer) for layer in range(frozen, head)]
    inside: dict[str, float] = {f"model.{name}": scales[layer] for name, layer in layers.items()}
    return {name: inside.get(name, scales[0]) for name, _ in module.named_parameters()}
