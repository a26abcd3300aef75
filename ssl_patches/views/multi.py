"""Give several crops of each image in one step: large and small ones, or many small ones.

Multi-crop after Caron et al. 2020 (SwAV, arXiv 2006.09882), with the scales of DINOv2 (Oquab et al.
2023); a bag of tiles after Chen et al. 2022 (BagSSL, arXiv 2206.08954) and Tong et al. 2023
(EMP-SSL, arXiv 2304.03977). ``agree`` compares the crops of an image; for other tasks they are
several views of an image that is loaded and decoded once. Small crops are enlarged to the side of a
view unless ``small_size`` names a side of their own: then they stay small and cost as little, in
tasks that compare views. Without large crops beside them a CNN learns from small crops of images
that it will see whole. Budgets in FLOPs count every crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_patches.types import Views
from ssl_patches.views.augment import Augment
from ssl_patches.views.crop import CropFlip, check_range, near_boxes
from ssl_patches.views.operations import Blur, Colour, Grey, Intensity, Rotate
from ssl_patches.views.resample import as_float, crop_resize


class MultiCrop(Augment):
    """Several crops of each image, then what is named, as ``Augment`` does, drawn for each crop.

    ValueError for scales or numbers of crops out of range.

    ``large``: crops of much of an image. Why: two, as SwAV. ``small``: crops of little of it. Why:
    as many again; each is one more view to compute. ``large_scale``: share of the area of a large
    one, least and most. Why: as DINOv2.
    ``small_scale``: of a small one. Why: as DINOv2. ``ratio``: width / height of a crop, least and
    most. Why: as torchvision's RandomResizedCrop. ``flip``: probability of a horizontal flip. Why:
    as ``CropFlip``.

    ``small_size``: side of the small crops in pixels, for tasks that compare; None: enlarged to
    that of a view. Why: every task can use enlarged ones.
    ``near``: how far crops lie from the first of their image, as a share of its side, and how much
    larger or smaller they are; None: anywhere. Why: only ``task.positions`` wants overlap.

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
        small_size: int | None = None,
        near: float | None = None,
    ) -> None:
        check_range("large_scale", large_scale, top=1.0)
        check_range("small_scale", small_scale, top=1.0)
        if min(large, small) < 0 or large + small < 1:
            raise ValueError(
                f"views.large={large}, views.small={small}: at least one crop in all; set"
                " views.large=2"
            )
        if near is not None and not 0 <= near <= 1:
            raise ValueError(
                f"views.near={near}: a share of the side of a crop from 0 to 1; set"
                " views.near=0.25, or null for crops anywhere"
            )
        if small_size is not None:
            fits = 0 < small_size <= image_size
            needed = [f"views.small_size={max(1, image_size // 2)}"] * (not fits)
            needed += ["views.small=2"] * (not small)
            if needed:
                raise ValueError(
                    f"views.small_size={small_size}: a side from 1 to image_size={image_size} px,"
                    f" of small crops; set {', '.join(needed)}, or views.small_size=null"
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
        self.small_crop = CropFlip(
            image_size=small_size or image_size, scale=small_scale, ratio=ratio, flip=flip
        )
        self.large, self.small, self.small_size = large, small, small_size
        self.crops, self.near = large + small, near

    # one crop is a Tensor, several are Views: whoever builds views takes both
    def forward(self, images: Tensor) -> Tensor | Views:  # type: ignore[override]
        """Crop (B, C, H, W) uint8 into ``Views`` of shares 0..1; in eval mode the whole images.

        The crops of an image follow each other, large ones first.
        """
        if not self.training:
            return super().forward(images)
        (large, places), (small, small_places) = (
            self._crops(images, crop, times)
            for crop, times in ((self.crop, self.large), (self.small_crop, self.small))
        )
        if self.small_size is not None and large is not None and small is not None:
            large, small = (self._changed(crops) for crops in (large, small))
            return Views(large, self.large, self.large, small, self.small)
        drawn = [crops for crops in (large, small) if crops is not None]
        boxes = torch.cat([places, small_places], 1).flatten(0, 1)
        count = self.large + self.small
        return Views(self._changed(torch.cat(drawn, 1)), count, self.large or count, boxes=boxes)

    def _crops(self, images: Tensor, crop: CropFlip, times: int) -> tuple[Tensor | None, Tensor]:
        """Draw ``times`` crops of each image, (B, times, C, s, s), None for none; and their boxes
        (B, times, 4), as ``Views`` has them."""
        several = images.repeat_interleave(times, 0)
        if not times:
            return None, torch.zeros(len(images), 0, 4, device=images.device)
        boxes, mirror = crop.draw(several)
        boxes = boxes.unflatten(0, (len(images), times))
        if self.near is not None:
            boxes = near_boxes(boxes, images.shape[-2:], near=self.near)
        crops = crop_resize(several, boxes.flatten(0, 1), out=crop.image_size, mirror=mirror)
        return crops.unflatten(0, (len(images), times)), facing(boxes, mirror.view(-1, times))

    def _changed(self, crops: Tensor) -> Tensor:
        """Change the colours of (B, V, C, s, s), each crop by its own draw -> (B * V, C, s, s)."""
        return self.operations(as_float(crops.flatten(0, 1).contiguous()))


def facing(boxes: Tensor, mirror: Tensor) -> Tensor:
    """Begin the boxes (..., 4) y, x, h, w of mirrored crops at their right edge: x + w, width -w.

    ``mirror`` (...) bool. A share u of the way along the crop is then at x + u * w for both.
    """
    y, x, h, w = boxes.unbind(-1)
    return torch.stack([y, torch.where(mirror, x + w, x), h, torch.where(mirror, -w, w)], -1)
