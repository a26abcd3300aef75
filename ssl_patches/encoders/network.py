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
    """The preparation of an image for a network.

    ``mean``, ``std`` per channel, of pixels in 0..1. ``stored_range``: the stored values that are
    black and white in images of more than 8 bits; None: the range of their type.
    """

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str = "bilinear"
    crop_pct: float = 1.0
    stored_range: Sequence[float] | None = None

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

    @property
    def whole_range(self) -> tuple[float, float]:
        """Return the stored values that are black and white in images of 16 bits."""
        low, high = self.stored_range or (0, 65535)
        return float(low), float(high)

    def said(self, *, graph_input: str = "float32") -> dict[str, Any]:
        """Describe the preparation as every file carries it.

        ``graph_input``: uint8 and uint16 are scaled and normalised in the graph.
        """
        low, high = self.whole_range
        inputs = {
            "float32": "float32, scaled to value_range, minus mean, divided by std",
            "uint8": "uint8 0..255",
            "uint16": f"uint16 as stored, {low:g} black and {high:g} white",
        }
        return {
            "channels": self.channels,
            "height": self.image_size,
            "width": self.image_size,
            "resize_shorter_side": round(self.image_size / self.crop_pct),
            "crop": "center",
            "interpolation": self.interpolation,
            "antialias": True,
            "value_range": [0.0, 1.0],
            "stored_range": None if self.stored_range is None else [low, high],
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
            "graph_input": inputs[graph_input],
        }


class Network(nn.Module):
    """A timm model that turns images into pooled features and maps.

    images -> pooled (B, dim), dense (B, dim, h, w), or pooled alone without ``maps``.

    ``normalise``: images are uint8 and prepared here. ``stored``: they are uint16 as stored, and
    become levels 0..255 here as in training, rounded.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        normalise: Preprocessing | None = None,
        *,
        maps: bool = True,
        stored: bool = False,
    ) -> None:
        super().__init__()
        self.model: Any = model  # a timm module: its attributes differ by family
        self.inside, self.maps = normalise is not None, maps
        self.black_and_white: tuple[float, float] | None = None
        if normalise is not None:
            self.black_and_white = normalise.whole_range if stored else None
            self.register_buffer("mean", torch.tensor(normalise.mean).view(-1, 1, 1))
            self.register_buffer("std", torch.tensor(normalise.std).view(-1, 1, 1))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turn images (B, C, H, W) into pooled features (B, dim) and the map (B, dim, h, w), or
        into pooled ones alone.
        """
        if self.inside:
            image = (self._levels(image) / 255 - self.mean) / self.std
        if not self.maps:
            return self.model(image)
        final = self.model.forward_features(image)
        pooled = self.model.forward_head(final)
        if final.dim() == 3:  # tokens (B, prefix + rows * cols, dim)
            height, width = self.model.patch_embed.patch_size
            grid = image.shape[2] // height, image.shape[3] // width
            final = final[:, self.model.num_prefix_tokens :].transpose(1, 2).unflatten(2, grid)
        return pooled, final

    def _levels(self, image: Tensor) -> Tensor:
        """Return levels 0..255 in floats."""
        if self.black_and_white is None:
            return image.float()
        low, high = self.black_and_white
        return ((image.float() - low) * (255 / (high - low))).round().clamp(0, 255)
