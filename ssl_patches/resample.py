"""Crop, antialiased resize and mirror with parameters per image.

A resize is linear and separable: ``out = Y @ image @ X^T``, where row i of ``Y`` holds the weights with which output
row i reads the input rows. Drawing one ``Y`` and one ``X`` per image gives every image of a batch its own crop, at the
cost of two batched products and no loop. The weights are those of torchvision's antialiased bilinear resize after an
integer crop (triangle filter, widened when shrinking, renormalised inside the crop): equal to rounding.

Most of those weights are zero, and the larger the image the more. Bytes of more than 64 px on a CPU are resized one by
one instead, by the routine for bytes behind torchvision's resize: 15 times as fast at 256 px, and rounded to levels of
1/255 (tests/test_views.py states the difference).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BY_PRODUCTS = 64  # px; up to here an image is so small that the calls of a loop would cost more than the products


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
    count, channels, height, width = images.shape
    bytes_on_cpu = images.device.type == "cpu" and images.dtype == torch.uint8
    if bytes_on_cpu and max(height, width) > BY_PRODUCTS and torch.equal(boxes, boxes.round()):
        return _one_by_one(images, boxes, out, mirror)
    y, x, h, w = boxes.unbind(-1)
    rows = reading_weights(y, h, size=height, out=out)[:, None]
    cols = reading_weights(x, w, size=width, out=out, mirror=mirror)
    pixels = as_float(images)
    with torch.autocast(images.device.type, enabled=False):  # eight bits of mantissa would be seen in the picture
        # columns first: all rows of all channels of an image are one product
        return rows @ (pixels.flatten(1, 2) @ cols.mT).view(count, channels, height, out)


def _one_by_one(images: Tensor, boxes: Tensor, out: int, mirror: Tensor | None) -> Tensor:
    views = torch.empty(*images.shape[:2], out, out)
    flips = [False] * len(images) if mirror is None else mirror.tolist()
    for view, image, (y, x, h, w), flip in zip(views, images, boxes.int().tolist(), flips, strict=True):
        part = image[None, :, y : y + h, x : x + w]
        resized = F.interpolate(part, (out, out), mode="bilinear", antialias=True)
        view.copy_((resized.flip(-1) if flip else resized)[0]).div_(255)
    return views


def as_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in 0..1; float is taken to be in 0..1 already."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images
