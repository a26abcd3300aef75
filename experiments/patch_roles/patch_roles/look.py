"""A frozen encoder that is shown pieces and variants of stored images: what every role is measured
through.

Pieces are boxes (y, x, h, w) in shares of the image's side, cut and resized to the encoder's input
in one step, so that a piece of a large image is made of real pixels and not of enlarged ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_patches.evaluation.features.extract import Precision, vector_reader
from ssl_patches.views.resample import as_float, crop_resize, normalised

Change = Callable[[Tensor], Tensor]  # (B, C, S, S) in 0..1 -> the same, changed
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Look:
    """``model``: normalised (B, C, S, S) -> (B, dim), in eval mode on ``device``; S =
    ``image_size``."""

    model: nn.Module
    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    device: str = "cpu"
    precision: Precision = "fp32"
    batch_size: int = 128

    def pixels(
        self, images: Tensor, boxes: Tensor | Sequence[float] = WHOLE, *, mirror: bool = False
    ) -> Tensor:
        """uint8 (B, C, H, H) -> the boxes of them in 0..1, (B, C, S, S); ``boxes`` (4,) for all, or
        (B, 4)."""
        images = images.to(self.device)
        boxes = torch.as_tensor(boxes, dtype=torch.float32, device=self.device) * images.shape[-1]
        flipped = torch.ones(len(images), dtype=torch.bool, device=self.device) if mirror else None
        return as_float(
            crop_resize(images, boxes.expand(len(images), 4), out=self.image_size, mirror=flipped)
        )

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1 as the exported preprocessing gives them."""
        centre, scale = (
            torch.tensor(values, device=pixels.device).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return normalised(pixels, centre, scale)

    @torch.inference_mode()
    def __call__(
        self,
        images: Tensor,
        boxes: Tensor | Sequence[float] = WHOLE,
        *,
        mirror: bool = False,
        change: Change | None = None,
    ) -> Tensor:
        """Features (N, dim) float32 on the CPU of uint8 (N, C, H, H), each seen through its box."""
        read, found = vector_reader(self.model, device=self.device, precision=self.precision), []
        boxes = torch.as_tensor(boxes, dtype=torch.float32).expand(len(images), 4)
        for some, where in zip(
            images.split(self.batch_size), boxes.split(self.batch_size), strict=True
        ):
            pixels = self.pixels(some, where, mirror=mirror)
            found.append(
                read(self.normalised(pixels if change is None else change(pixels))).float().cpu()
            )
        return torch.cat(found).clone()

    def tiles(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Features (N, T, dim) of the same T ``boxes`` (T, 4) of every image, each encoded
        alone."""
        return torch.stack([self(images, box) for box in boxes], 1)


def grid_boxes(each: int, scale: float) -> Tensor:
    """(each * each, 4): squares of side ``scale`` spread evenly from edge to edge, raster order;
    one alone is central."""
    starts = torch.linspace(0, 1 - scale, each) if each > 1 else torch.tensor([(1 - scale) / 2])
    y, x = torch.meshgrid(starts, starts, indexing="ij")
    side = torch.full_like(y, scale)
    return torch.stack([y, x, side, side], -1).flatten(0, 1)
