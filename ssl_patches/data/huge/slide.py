"""Read parts of microscope slides through OpenSlide (the extra ``[slides]``).

OpenSlide knows the formats of Aperio, Hamamatsu, Leica, MIRAX, Ventana and others. It gives RGB
with transparency where nothing was scanned, which is laid on white, as glass is.
"""

from __future__ import annotations

import numpy as np

from ssl_patches.data.huge.image import Box, HugeImage
from ssl_patches.data.stored import Stored


class SlideImage(HugeImage):
    """A slide, opened by OpenSlide. ImportError without it; its errors for damage.

    ``channels``: 1 or 3; ValueError for any other number.
    """

    def __init__(self, path: str, *, channels: int) -> None:
        import openslide

        if channels not in (1, 3):
            raise ValueError(
                f"is a slide, with 3 channels (RGB), and data.channels={channels}: set"
                " data.channels=3"
            )
        self._opened = openslide.OpenSlide(path)
        self.levels = tuple(self._opened.level_dimensions)
        self.channels = channels
        known = self._opened.properties
        wide, high = (known.get(f"openslide.level[0].tile-{side}") for side in ("width", "height"))
        self.block = (int(wide), int(high)) if wide and high else (256, 256)

    def close(self) -> None:
        """Close the slide."""
        self._opened.close()

    def read(self, box: Box, level: int = 0) -> Stored:
        """Return the samples (3, h, w) of a part of ``level``; OpenSlideError for damage."""
        y, x, h, w = box
        down = self._opened.level_downsamples[level]
        corner = round(x * down), round(y * down)
        pixels = np.asarray(self._opened.read_region(corner, level, (w, h)))
        alpha = pixels[..., 3]
        opaque = None if alpha.min() == 255 else alpha.astype(np.float32) / 255
        return Stored(values=np.ascontiguousarray(pixels[..., :3].transpose(2, 0, 1)), alpha=opaque)
