"""Crop and flip, then whatever operations are named: each has its key, ``views.KEY=null`` removes
it.

The order is fixed: crop and flip, ``rotate``, ``colour``, ``grey``, ``blur``. What is sensible
depends on the images: ``views=photo`` is SimCLR's (Chen et al. 2020) without the strength that only
contrast needs, ``microscopy`` and ``satellite`` know no up, and change channels one by one or
hardly at all, because colour there is measurement.

For masked reconstruction crop and flip are enough: colours cost there (He et al. 2022, Table 1),
and so the default is ``views=crop_flip``. All of it comes before the cut, so the labels of
where-tasks stay correct.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ssl_patches.views.crop import CropFlip
from ssl_patches.views.module import ViewModule
from ssl_patches.views.operations import Blur, Colour, Grey, Intensity, Rotate
from ssl_patches.views.resample import as_float


class Augment(ViewModule):
    """Crop and flip, then what is named, in this order; keys as for ``CropFlip``.

    ``rotate``: quarter turns; None: none. ``colour``: changes of colours, or of each channel by
    itself; None: none.
    ``grey``: sometimes without colours; None: never. ``blur``: sometimes blurred; None: never.
    """

    def __init__(
        self,
        *,
        image_size: int,
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        rotate: Rotate | None = None,
        colour: Colour | Intensity | None = None,
        grey: Grey | None = None,
        blur: Blur | None = None,
    ) -> None:
        super().__init__()
        self.crop = CropFlip(image_size=image_size, scale=scale, ratio=ratio, flip=flip)
        self.operations = nn.Sequential(
            *(step for step in (rotate, colour, grey, blur) if step is not None)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, C, H, W) uint8 into (B, C, image_size, image_size) float, shares 0..1.

        In eval mode the whole image.
        """
        return self.operations(as_float(self.crop(images).contiguous()))
