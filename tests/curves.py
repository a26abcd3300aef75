"""Curves over the number of labels, made of numbers."""

from __future__ import annotations

import torch

from ssl_patches.evaluation.efficiency.curve import Curve, Point


def point(number, values, spread=0.0, n=100, size=None):
    """Draws of these values; the test images move each by ``spread``."""
    drawn = torch.tensor(values, dtype=torch.float64)
    moved = spread * torch.linspace(-1, 1, 1000, dtype=torch.float64)
    resampled = drawn[:, None] + moved[None]
    return Point(number=number, size=size or number or 200, values=drawn, resampled=resampled, n=n)


def curve(model, means, column="linear", metric="top1"):
    points = [point(number, [mean] * 3) for number, mean in means.items()]
    return Curve(model=model, column=column, metric=metric, points=points)
