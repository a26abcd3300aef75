"""Wrap a timm model so that it gives pooled and dense features, with or without normalisation
inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is done to an image before the network sees it; ``mean``, ``std`` per channel, of pixels
    in 0..1."""

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str = "bilinear"
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError(
                f"mean={list(self.mean)}, std={list(self.std)}: must have one number per channel;"
                " give one of each for each"
            )
        if min(self.std) <= 0:
            raise ValueError(
                f"std={list(self.std)}: must be above 0, images are divided by it; set std to 1 for"
                " a flat channel"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation={self.interpolation}: unknown to timm; set one of"
                f" {', '.join(INTERPOLATIONS)}"
            )
        if not 0 < self.crop_pct <= 1:
            raise ValueError(
                f"crop_pct={self.crop_pct}: must be above 0 and at most 1 (all of the shorter"
                " side); set crop_pct=1"
            )

    @property
    def channels(self) -> int:
        """Count the channels that images must have."""
        return len(self.mean)

    def said(self, *, inside: bool) -> dict[str, Any]:
        """As every file carries it. ``inside``: scaling and normalisation are part of the graph."""
        return {
            "channels": self.channels,
            "height": self.image_size,
            "width": self.image_size,
            "resize_shorter_side": round(self.image_size / self.crop_pct),
            "crop": "center",
            "interpolation": self.interpolation,
            "antialias": True,
            "value_range": [0.0, 1.0],
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
            "graph_input": (
                "uint8 0..255"
                if inside
                else "float32, scaled to value_range, minus mean, divided by std"
            ),
        }


class Network(nn.Module):
    """images -> pooled (B, dim), dense (B, dim, h, w), or pooled alone without ``maps``.

    ``normalise``: images are uint8 and prepared here.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, normalise: Preprocessing | None = None, *, maps: bool = True
    ) -> None:
        super().__init__()
        self.model: Any = model  # a timm module: its attributes differ by family
        self.inside, self.maps = normalise is not None, maps
        if normalise is not None:
            self.register_buffer("mean", torch.tensor(normalise.mean).view(-1, 1, 1))
            self.register_buffer("std", torch.tensor(normalise.std).view(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turn images (B, C, H, W) into pooled features (B, dim) and the map (B, dim, h, w), or
        into pooled ones alone.
        """
        if self.inside:
            image = (image.float() / 255 - self.mean) / self.std
        if not self.maps:
            return self.model(image)
        final = self.model.forward_features(image)
        pooled = self.model.forward_head(final)
        if final.dim() == 3:  # tokens (B, prefix + rows * cols, dim)
            height, width = self.model.patch_embed.patch_size
            grid = image.shape[2] // height, image.shape[3] // width
            final = final[:, self.model.num_prefix_tokens :].transpose(1, 2).unflatten(2, grid)
        return pooled, final
