"""Describe how an image looks in seven numbers that an encoder may be blind to.

Why: tasks with changed colours train an encoder *not* to see light and colour, and to see objects
in what has none. What is odd in a folder is often just that: a black frame, noise, an image
without detail. Measured in ``benchmarks/duplicates``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

LOOKS = 7  # light, contrast, detail at three scales, colour and its spread
FAINT = 0.01  # of the range; below it contrast, detail and colour count as none
SIDE = 64  # images are looked at in about this many pixels, so that sizes compare


def looks_of(images: Tensor) -> Tensor:
    """Describe ``images`` uint8 (B, C, S, S) as (B, LOOKS) float32 on the CPU.

    Light and colour are shares of the range 0 to 1; the others are natural logarithms of such
    shares. Images of one channel have no colour: 0 and log ``FAINT``.
    """
    pixels = images.cpu().float() / 255
    pixels = avg_pool2d(pixels, max(1, min(pixels.shape[2:]) // SIDE))
    light = pixels.mean(1)
    colour = pixels.amax(1) - pixels.amin(1)
    half = _halved(light)
    columns = (
        light.mean((1, 2)),
        (light.std((1, 2), correction=0) + FAINT).log(),
        *((_detail(plane) + FAINT).log() for plane in (light, half, _halved(half))),
        colour.mean((1, 2)),
        (colour.std((1, 2), correction=0) + FAINT).log(),
    )
    return torch.stack(columns, 1)


def _halved(plane: Tensor) -> Tensor:
    """Average squares of two pixels of planes (B, S, S); one pixel stays one."""
    return avg_pool2d(plane, 2) if min(plane.shape[1:]) > 1 else plane


def _detail(plane: Tensor) -> Tensor:
    """Return how much pixels of planes (B, S, S) differ from their four neighbours, (B,)."""
    if min(plane.shape[1:]) < 3:
        return torch.zeros(len(plane))
    middle = plane[:, 1:-1, 1:-1]
    around = plane[:, :-2, 1:-1] + plane[:, 2:, 1:-1] + plane[:, 1:-1, :-2] + plane[:, 1:-1, 2:]
    return (4 * middle - around).abs().mean((1, 2))
