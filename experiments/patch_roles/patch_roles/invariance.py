"""What a change of the picture does to its feature: mean cosine before and after, beside that of
different images.

The trap: a cosine alone says nothing. Features share a large common part, so different images often
have 0.9 and more; an encoder is invariant to a change as far as the changed image is nearer than
*another* image would be.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from patch_roles.look import Look
from patch_roles.protocol import NUMBERS as ALL
from ssl_patches.views import random_boxes

CHANGES = ("shift", "crop", "scale", "flip", "colour")
NUMBERS = ALL["invariance"]
"""shift: share of the side, down and right at once; zoom: side of the central square that scale
enlarges; crop: area of the random crop; colour: brightness, contrast and saturation by factors of 1
+- this."""


def invariance(look: Look, images: Tensor) -> dict[str, Tensor]:
    """Per change, and for ``other``, the cosine of each image (N,): with its changed self, with the
    mean other image.

    ``images`` uint8 (N, C, H, H), two or more. Both sides of ``shift`` are cut from the image, so
    that no border is made up.
    """
    if len(images) < 2:
        raise ValueError(
            f"images: {len(images)} is too few, there must be another image to compare with; give 2"
            " or more"
        )
    whole = F.normalize(look(images), dim=1)
    shift, zoom, area = (NUMBERS[name] for name in ("shift", "zoom", "crop"))
    side, edge = 1 - shift, (1 - zoom) / 2
    with torch.random.fork_rng([]):
        torch.manual_seed(NUMBERS["seed"])
        crops = (
            random_boxes(
                len(images),
                (1000, 1000),
                scale=(area, area),
                ratio=(3 / 4, 4 / 3),
                device=torch.device("cpu"),
            )
            / 1000
        )
        factors = 1 + NUMBERS["colour"] * (2 * torch.rand(3, len(images), 1, 1, 1) - 1)

    def cosine(before: Tensor, after: Tensor) -> Tensor:
        return (before * F.normalize(after, dim=1)).sum(1)

    start = F.normalize(look(images, (0.0, 0.0, side, side)), dim=1)
    return {
        "shift": cosine(start, look(images, (shift, shift, side, side))),
        "crop": cosine(whole, look(images, crops)),
        "scale": cosine(whole, look(images, (edge, edge, zoom, zoom))),
        "flip": cosine(whole, look(images, mirror=True)),
        "colour": cosine(whole, look(images, change=_in_turn(factors))),
        "other": ((whole @ whole.sum(0)) - 1) / (len(whole) - 1),
    }


def recolour(pixels: Tensor, factors: Tensor) -> Tensor:
    """(B, C, H, W) in 0..1 and factors (3, B, 1, 1, 1) of brightness, contrast, saturation; the
    last for 3 channels only."""
    brightness, contrast, saturation = factors.to(pixels)
    pixels = (pixels * brightness).clamp(0, 1)
    middle = pixels.mean((1, 2, 3), keepdim=True)
    pixels = (middle + contrast * (pixels - middle)).clamp(0, 1)
    if pixels.shape[1] == 3:
        grey = (
            pixels * torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(3, 1, 1)
        ).sum(1, keepdim=True)
        pixels = (grey + saturation * (pixels - grey)).clamp(0, 1)
    return pixels


def _in_turn(factors: Tensor) -> Callable[[Tensor], Tensor]:
    """``recolour`` for batches that come in the order of the images."""
    at = 0

    def change(pixels: Tensor) -> Tensor:
        nonlocal at
        at += len(pixels)
        return recolour(pixels, factors[:, at - len(pixels) : at])

    return change
