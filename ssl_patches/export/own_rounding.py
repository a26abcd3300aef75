"""Measure how far a network's float32 features lie from exact ones.

Two processes add the same numbers in another order, so a proof cannot ask for more than float32
gives. Most networks stay well below the usual tolerance; a deep one whose features are small
differences of large numbers may not, and what it loses then is its own rounding and no fault of the
export. What float64 gives is the judge.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl_patches.encoders.network import Network
from ssl_patches.export.exportable import Exportable
from ssl_patches.export.reference import full_precision, outputs_of, reference_images
from ssl_patches.export.rounding import MOST

IMAGES = 8
APART = 4.0
"""How many times its own rounding two float32 results may differ: each lies on another side of the
exact one, and other images may be twice as far off."""


def tolerance_of(exportable: Exportable, usual: float) -> float:
    """Return what a proof of float32 weights may allow: ``usual``, or the network's own rounding.

    Relative to the largest feature; at most ``MOST`` times ``usual``.
    """
    return min(max(usual, APART * own_rounding(exportable)), MOST * usual)


def own_rounding(exportable: Exportable) -> float:
    """Return the largest difference between float32 and float64 features, as a share of the largest
    feature, over pooled and dense ones and all sizes of a proof."""
    largest = 0.0
    for size in exportable.sizes():
        images = reference_images(IMAGES, exportable.preprocessing.channels, size)
        model = exportable.at(size)
        found = outputs_of(model, images, exportable.preprocessing)
        for rounded, exact in zip(found, _exact(model, images, exportable), strict=True):
            difference, scale = (rounded - exact).abs().max().item(), exact.abs().max().item()
            largest = max(largest, difference / scale if scale else 0.0)
    return largest


def _exact(model: torch.nn.Module, images: Tensor, exportable: Exportable) -> tuple[Tensor, Tensor]:
    """Return pooled and dense features of images (N, C, H, W) uint8, computed in float64."""
    prepared = exportable.preprocessing
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
        for values in (prepared.mean, prepared.std)
    )
    network: Any = Network(model.double()).eval()
    with full_precision():
        return network((images.double() / 255 - mean) / std)
