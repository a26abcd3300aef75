"""Crop, resize (antialiased) and mirror a batch, with parameters per image.

A resize is linear and separable: ``out = Y @ image @ X^T``, where row i of ``Y`` holds the weights
with which output row i reads the input rows. Drawing one ``Y`` and one ``X`` per image gives every
image of a batch its own crop, at the cost of two batched products and no loop. The weights are
those of torchvision's antialiased bilinear resize after an integer crop (triangle filter, widened
when shrinking, renormalised inside the crop): equal to rounding.

Where every crop is enlarged, because the image is no larger than the result, nothing is filtered
and a sample lies between two pixels: their weights are simpler, and rows are blended rather than
multiplied, in half of the time.

Most of those weights are zero, and the larger the image the more. Bytes of more than 64 px on a CPU
are resized one by one instead, by the routine for bytes behind torchvision's resize: 15 times as
fast at 256 px, and rounded to levels of 1/255 (tests/views/test_resample.py states the difference).
They stay bytes: what is done with floats is done to tiles, in a cache.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_patches.types import channels_last

# px; up to here an image is so small that the calls of a loop would cost more than the products
BY_PRODUCTS = 64


def reading_weights(
    start: Tensor, extent: Tensor, *, size: int, out: int, mirror: Tensor | None = None
) -> Tensor:
    """Return the weights (..., out, size) with which ``out`` samples read a stretch of a line.

    The stretch is [start, start + extent) of ``size`` pixels. ``start`` and ``extent`` (...) in
    pixels, fractions allowed; ``mirror`` (...) bool reverses the output.
    """
    step = extent / out
    # wider than a pixel only when shrinking: that is the antialiasing
    support = step.clamp(min=1.0)
    index = torch.arange(out, device=start.device)
    if mirror is not None:
        index = torch.where(mirror[..., None], out - 1 - index, index)
    centre = start[..., None] + (index + 0.5) * step[..., None]
    pixel = torch.arange(size, device=start.device)
    distance = (pixel + 0.5 - centre[..., None]).abs() / support[..., None, None]
    inside = (pixel >= start.floor()[..., None, None]) & (
        pixel < (start + extent).ceil()[..., None, None]
    )
    weights = (1.0 - distance).clamp(min=0.0) * inside
    return weights / weights.sum(-1, keepdim=True)


def crop_resize(images: Tensor, boxes: Tensor, *, out: int, mirror: Tensor | None = None) -> Tensor:
    """Crop and resize (B, C, H, W), uint8 or float shares 0..1 -> (B, C, out, out).

    ``boxes`` (B, 4): y, x, h, w in pixels. ``mirror`` (B,) bool flips left and right. Returns float
    shares 0..1, or uint8, channels-last in memory, where bytes were resized as bytes (see above;
    ``as_float`` makes floats of either).
    """
    count, channels, height, width = images.shape
    bytes_on_cpu = images.device.type == "cpu" and images.dtype == torch.uint8
    if bytes_on_cpu and max(height, width) > BY_PRODUCTS and torch.equal(boxes, boxes.round()):
        return _one_by_one(images, boxes, out, mirror)
    if max(height, width) <= out:
        return _enlarged(images, boxes, out, mirror)
    y, x, h, w = boxes.unbind(-1)
    rows = reading_weights(y, h, size=height, out=out)[:, None]
    cols = reading_weights(x, w, size=width, out=out, mirror=mirror)
    # eight bits of mantissa would be seen in the picture
    with torch.autocast(images.device.type, enabled=False):
        # columns first: all rows of all channels of an image are one product
        return rows @ (as_float(images).flatten(1, 2) @ cols.mT).view(count, channels, height, out)


def _enlarged(images: Tensor, boxes: Tensor, out: int, mirror: Tensor | None) -> Tensor:
    count, channels, height, width = images.shape
    y, x, h, w = boxes.unbind(-1)
    place, pixel = (
        _reading_places(x, w, out=out, mirror=mirror),
        torch.arange(width, device=images.device),
    )
    cols = (1 - (place[:, None] - pixel[:, None]).abs_()).clamp_(min=0)  # (B, width, out)
    if images.dtype == torch.uint8:
        images, cols = images.float(), cols.div_(255)
    with torch.autocast(images.device.type, enabled=False):
        lines = (images.flatten(1, 2) @ cols.to(images.dtype)).view(-1, out)
    place = _reading_places(y, h, out=out)
    above = place.floor()
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1) * height
    upper, lower = (
        lines.index_select(0, (planes + line.long()[:, None]).flatten())
        for line in (above, place.ceil())
    )
    shares = (place - above)[:, None].expand(-1, channels, -1).reshape(-1, 1)
    return upper.lerp_(lower, shares.to(lines.dtype)).view(count, channels, out, out)


def _reading_places(
    start: Tensor, extent: Tensor, *, out: int, mirror: Tensor | None = None
) -> Tensor:
    """Return where the samples read a line, (B, out) in pixels: 0 is the middle of the first.

    None lies outside the pixels of its own stretch, so that the crop's edge is continued and not
    what lies beyond it.
    """
    first, last = start[:, None].floor(), (start + extent)[:, None].ceil() - 1
    place = (
        start[:, None]
        - 0.5
        + (torch.arange(out, device=start.device) + 0.5) * (extent / out)[:, None]
    )
    place = place.maximum(first).minimum(last)
    return place if mirror is None else torch.where(mirror[:, None], place.flip(1), place)


def _one_by_one(images: Tensor, boxes: Tensor, out: int, mirror: Tensor | None) -> Tensor:
    views = torch.empty(len(images), out, out, images.shape[1], dtype=images.dtype).permute(
        0, 3, 1, 2
    )
    flips = [False] * len(images) if mirror is None else mirror.tolist()
    for view, image, (y, x, h, w), flip in zip(
        views, images, boxes.int().tolist(), flips, strict=True
    ):
        # a part in memory of its own, channels-last: of any other torch makes several copies, one
        # after the other
        part = image[None, :, y : y + h, x : x + w].contiguous(memory_format=torch.channels_last)
        resized = F.interpolate(part, (out, out), mode="bilinear", antialias=True)
        view.copy_((resized.flip(-1) if flip else resized)[0])
    return views


def as_float(images: Tensor) -> Tensor:
    """Turn uint8 levels 0..255 (...) into float32 shares 0..1 (...); floats stay as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Normalise (B, C, H, W), uint8 or float shares 0..1, to (x - mean) / std.

    ``mean``, ``std`` (C, 1, 1): of shares 0..1. Bit for bit what exported preprocessing computes.
    Where images are channels-last, whole lines are computed with lines of means: three numbers at a
    time would take twice as long.
    """
    pixels = as_float(images)
    if not channels_last(pixels):
        return (pixels - mean).div_(std)
    together = pixels.movedim(1, -1)
    means, stds = (values.flatten().repeat(together.shape[2]) for values in (mean, std))
    return (together.flatten(2) - means).div_(stds).view(together.shape).movedim(-1, 1)
