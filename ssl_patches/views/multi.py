"""Several crops of each image in one step: large and small ones (multi-crop), or many small ones (a
bag of tiles).

Multi-crop after Caron et al. 2020 (SwAV, arXiv 2006.09882), with the scales of DINOv2 (Oquab et al.
2023); a bag of tiles after Chen et al. 2022 (BagSSL, arXiv 2206.08954) and Tong et al. 2023
(EMP-SSL, arXiv 2304.03977). Neither compares the crops with each other here: no task of ours does.
What they give is an image that is loaded and decoded once for all of its crops, and objects seen at
several scales. Every crop is enlarged to the side of a view, because tiles are cut alike from all
of them; so a small crop costs what a large one does, and budgets in FLOPs count each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_patches.views.augment import Augment
from ssl_patches.views.crop import CropFlip, check_range
from ssl_patches.views.operations import Blur, Colour, Grey, Intensity, Rotate
from ssl_patches.views.resample import as_float


class MultiCrop(Augment):
    """``large`` and ``small`` crops of each image, then what is named, as ``Augment`` does, drawn
    for each crop.

    ``large``: crops of much of an image. Why: two, as SwAV. ``small``: crops of little of it. Why:
    as many again; each is one more view to compute. ``large_scale``: share of the area of a large
    one, least and most. Why: as DINOv2.
    ``small_scale``: of a small one. Why: as DINOv2. ``ratio``: width / height of a crop, least and
    most. Why: as torchvision's RandomResizedCrop. ``flip``: probability of a horizontal flip. Why:
    as ``CropFlip``.

    ``rotate``: quarter turns; None: none. ``colour``: changes of colours, or of each channel by
    itself; None: none.
    ``grey``: sometimes without colours; None: never. ``blur``: sometimes blurred; None: never.
    """

    def __init__(
        self,
        *,
        image_size: int,
        large: int = 2,
        small: int = 2,
        large_scale: Sequence[float] = (0.32, 1.0),
        small_scale: Sequence[float] = (0.05, 0.32),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        rotate: Rotate | None = None,
        colour: Colour | Intensity | None = None,
        grey: Grey | None = None,
        blur: Blur | None = None,
    ) -> None:
        check_range("large_scale", large_scale, top=1.0)
        check_range("small_scale", small_scale, top=1.0)
        if min(large, small) < 0 or large + small < 1:
            raise ValueError(
                f"views.large={large}, views.small={small}: at least one crop in all; set"
                " views.large=2"
            )
        super().__init__(
            image_size=image_size,
            scale=large_scale,
            ratio=ratio,
            flip=flip,
            rotate=rotate,
            colour=colour,
            grey=grey,
            blur=blur,
        )
        self.small_crop = CropFlip(image_size=image_size, scale=small_scale, ratio=ratio, flip=flip)
        self.large, self.small = large, small

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B * (large + small), C, image_size, image_size) float in 0..1.

        The crops of an image follow each other, large ones first. In eval mode (B, ...), the whole
        images.
        """
        if not self.training:
            return super().forward(images)
        drawn = [
            crop(images.repeat_interleave(times, 0)).unflatten(0, (len(images), times))
            for crop, times in ((self.crop, self.large), (self.small_crop, self.small))
            if times
        ]
        return self.operations(as_float(torch.cat(drawn, 1).flatten(0, 1).contiguous()))
