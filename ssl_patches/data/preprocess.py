"""Prepare an image for an encoder as evaluation does: the central square, resized, normalised."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_patches.data import arrays
from ssl_patches.data.decode import decode, square_of, square_of_array


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Preprocessing of one image: ``preprocess(image)`` -> (C, S, S) float32, normalised.

    ``image_size``: S in pixels. ``mean``, ``std`` per channel, of pixels as shares 0..1. An image
    is a file's path, a PIL image, an array (H, W[, C] or C, H, W) or a tensor (C, H, W); pixels are
    read and turned upright by the rules of training (``data.decode``). ``value_range``: the stored
    values that are black and white where there are more than 8 bits, as trained on; None: the range
    of the type. Calling it raises ValueError or ``UnreadableImage`` for what cannot be read so.
    """

    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    value_range: Sequence[float] | None = None

    def __call__(self, image: str | os.PathLike | Image.Image | np.ndarray | Tensor) -> Tensor:
        pixels = self._square(image).float().div(255)
        mean, std = (
            torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (pixels - mean) / std

    def _square(self, image: str | os.PathLike | Image.Image | np.ndarray | Tensor) -> Tensor:
        """uint8 (C, S, S)."""
        channels, size, value_range = len(self.mean), self.image_size, self.value_range
        if isinstance(image, str | os.PathLike):
            return decode(os.fspath(image), channels=channels, size=size, value_range=value_range)
        if isinstance(image, Image.Image):
            return square_of(image, channels=channels, size=size, value_range=value_range)
        values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        values = arrays.channels_first(
            values, channels=channels, last=not isinstance(image, Tensor)
        )
        return square_of_array(values, channels=channels, size=size, value_range=value_range)
