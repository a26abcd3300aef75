"""Read images with an exported encoder, as one vector each or one for each of N x N tiles.

What ``embed`` and ``duplicates`` share: the same preprocessing, and the same names of images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_patches.config.plain_text import as_utf8
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.attention import choose_attention
from ssl_patches.encoders.network import Network, Preprocessing
from ssl_patches.encoders.subject import Subject


class Reader:
    """Reads uint8 images (B, C, S, S) as vectors (B, rows, dim) float32 on the CPU.

    ``boxes`` (rows, 4): y, x, h, w of each row in pixels of the prepared image; None: one row, of
    the whole image. ValueError where the tiles do not fit the network's map.
    """

    def __init__(self, subject: Subject, *, tiles: int | None, precision: str) -> None:
        self.device, self.precision, self.tiles = (
            "cuda" if torch.cuda.is_available() else "cpu",
            precision,
            tiles,
        )
        model: Any = subject.model.to(memory_format=torch.channels_last)  # what a CNN is fastest in
        choose_attention(model, accelerator=self.device, precision=precision)
        images = Preprocessing(image_size=subject.image_size, mean=subject.mean, std=subject.std)
        self.network = Network(model, images, maps=tiles is not None).eval()
        self.dim = int(model.num_features)
        self.channels, self.size = len(subject.mean), subject.image_size
        self.boxes = None if tiles is None else self._boxes(subject.image_size, model, tiles)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Encode images uint8 (B, C, S, S) as (B, rows, dim)."""
        images = images.to(self.device, non_blocking=True)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            outputs = self.network(images)
        if self.tiles is None:
            return outputs.float().cpu()[:, None]
        return (
            nn.functional.adaptive_avg_pool2d(outputs[1].float(), self.tiles)
            .flatten(2)
            .transpose(1, 2)
            .cpu()
        )

    def _boxes(self, size: int, model: Any, tiles: int) -> np.ndarray:
        """(tiles * tiles, 4) int32: y, x, h, w in pixels of the prepared image."""
        unit = model.feature_info[-1]["reduction"]
        side = size // unit
        if size % unit:
            raise ValueError(
                f"tiles={tiles}: an image of {size} px has no whole number of positions {unit} px"
                " apart, so tiles would not have exact boxes; leave tiles out"
            )
        if not 1 <= tiles <= side or side % tiles:
            good = [number for number in range(1, side + 1) if side % number == 0]
            raise ValueError(
                f"tiles={tiles}: must divide the {side} x {side} positions of the dense map; set"
                f" tiles to one of {', '.join(map(str, good))}"
            )
        try:
            with torch.inference_mode():
                pixels = torch.zeros(1, self.channels, size, size, dtype=torch.uint8)
                shape = tuple(self.network(pixels)[1].shape[1:])
        except AttributeError:  # tokens of a family that has no such grid
            shape = ()
        if shape != (self.dim, side, side):
            raise ValueError(
                f"tiles={tiles}: {type(model).__name__} gives no map of {side} x {side}"
                " positions; leave tiles out"
            )
        extent = size // tiles
        corners = np.arange(tiles) * extent
        y, x = np.meshgrid(corners, corners, indexing="ij")
        return (
            np.stack([y, x, np.full_like(y, extent), np.full_like(y, extent)], -1)
            .reshape(-1, 4)
            .astype(np.int32)
        )


def image_name(source: ImageSource, split: str, index: int) -> str:
    """Name an image as the user knows it: below the root of a folder, as it is listed, by number.

    A number is that of the user's Dataset, and follows the name of the split.
    """
    if source.known_as:
        return as_utf8(source.known_as[index])
    if not source.paths:
        return f"{split}/{index}"
    path = Path(source.paths[index])
    if source.root is not None and path.is_relative_to(source.root):
        path = path.relative_to(source.root)
    return as_utf8(path.as_posix())
