"""Crop, antialiased resize and mirror as two matrix products, with parameters per image.

A resize is linear and separable: ``out = Y @ image @ X^T``, where row i of ``Y`` holds the weights with which output
row i reads the input rows. Drawing one ``Y`` and one ``X`` per image gives every image of a batch its own crop, at the
cost of two batched products and no loop. The weights are those of torchvision's antialiased bilinear resize after an
integer crop (triangle filter, widened when shrinking, renormalised inside the crop): equal to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reading_weights(start: Tensor, extent: Tensor, *, size: int, out: int, mirror: Tensor | None = None) -> Tensor:
    """Weights (..., out, size) with which ``out`` samples read the stretch [start, start + extent) of a line.

    ``start`` and ``extent`` (...) in pixels, fractions allowed; ``mirror`` (...) bool reverses the output.
    """
    step = extent / out
    support = step.clamp(min=1.0)  # wider than a pixel only when shrinking: that is the antialiasing
    index = torch.arange(out, device=start.device)
    if mirror is not None:
        index = torch.where(mirror[..., None], out - 1 - index, index)
    centre = start[..., None] + (index + 0.5) * step[..., None]
    pixel = torch.arange(size, device=start.device)
    distance = (pixel + 0.5 - centre[..., None]).abs() / support[..., None, None]
    inside = (pixel >= start.floor()[..., None, None]) & (pixel < (start + extent).ceil()[..., None, None])
    weights = (1.0 - distance).clamp(min=0.0) * inside
    return weights / weights.sum(-1, keepdim=True)


def crop_resize(images: Tensor, boxes: Tensor, *, out: int, mirror: Tensor | None = None) -> Tensor:
    """``images`` (B, C, H, W) uint8 or float in 0..1, ``boxes`` (B, 4) y, x, h, w -> (B, C, out, out) float in 0..1.

    ``mirror`` (B,) bool flips left and right.
    """
    height, width = images.shape[-2:]
    y, x, h, w = boxes.unbind(-1)
    rows = reading_weights(y, h, size=height, out=out)[:, None]
    cols = reading_weights(x, w, size=width, out=out, mirror=mirror)[:, None]
    pixels = as_float(images)
    with torch.autocast(images.device.type, enabled=False):  # eight bits of mantissa would be seen in the picture
        return rows @ pixels @ cols.mT


def as_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in 0..1; float is taken to be in 0..1 already."""
    return images.float().div(255) if images.dtype == torch.uint8 else images
