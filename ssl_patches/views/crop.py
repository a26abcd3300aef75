"""Crop and flip images, batched on the device, with parameters drawn per image.

Random resized crop and flip are all that masked reconstruction wants (He et al. 2022, Table 1:
colour jitter costs). A flip of the view before the cut leaves the labels of where-tasks correct;
only a flip after the cut mirrors them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_patches.views.module import ViewModule
from ssl_patches.views.resample import crop_resize


class Whole(ViewModule):
    """The whole image, resized to the view (``views=none``)."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size

    def forward(self, images: Tensor) -> Tensor:
        """Resize (B, C, H, W) uint8 to (B, C, image_size, image_size), as ``CropFlip``.

        Unchanged where it has that size already.
        """
        if images.shape[-2:] == (self.image_size, self.image_size):
            return images
        return crop_resize(images, whole_boxes(images), out=self.image_size)


class CropFlip(ViewModule):
    """Random resized crop and flip, drawn for each image; ValueError for values out of range.

    ``scale``: share of the image's area, least and most. Why: as MAE; where size carries meaning
    raise the least.
    ``ratio``: width / height of the crop, least and most. Why: as torchvision's RandomResizedCrop.
    ``flip``: probability of a horizontal flip. Why: left and right are alike in most images; 0
    where they are not (text).

    In eval mode the whole image. Sides are clamped to the image where torchvision would draw again.
    """

    def __init__(
        self,
        *,
        image_size: int,
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
    ) -> None:
        super().__init__()
        check_range("scale", scale, top=1.0)
        check_range("ratio", ratio)
        if not 0 <= flip <= 1:
            raise ValueError(
                f"views.flip={flip}: a probability from 0 to 1; set views.flip=0.5, or 0 for no"
                " flip"
            )
        self.image_size, self.scale, self.ratio, self.flip = (
            image_size,
            tuple(scale),
            tuple(ratio),
            flip,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Crop (B, C, H, W) uint8 to (B, C, image_size, image_size).

        uint8 or float shares 0..1, see ``crop_resize``.
        """
        if not self.training:
            return crop_resize(images, whole_boxes(images), out=self.image_size)
        boxes, mirror = self.draw(images)
        return crop_resize(images, boxes, out=self.image_size, mirror=mirror)

    def draw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a crop for each of (B, C, H, W): boxes (B, 4) y, x, h, w in pixels, and whether it
        is mirrored, (B,) bool."""
        count, device = len(images), images.device
        boxes = random_boxes(
            count, images.shape[-2:], scale=self.scale, ratio=self.ratio, device=device
        )
        return boxes, torch.rand(count, device=device) < self.flip


def check_range(key: str, pair: Sequence[float], *, top: float = math.inf) -> None:
    """Raise ValueError where ``views.KEY`` is not two numbers 0 < low <= high <= ``top``."""
    if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= top:
        limit = f" <= {top:g}" if math.isfinite(top) else ""
        raise ValueError(
            f"views.{key}={list(pair)}: two numbers 0 < low <= high{limit}; e.g."
            f" views.{key}=[0.5,1.0]"
        )


def whole_boxes(images: Tensor) -> Tensor:
    """Return the largest centred square of each of (B, C, H, W): (B, 4) y, x, h, w in pixels."""
    height, width = images.shape[-2:]
    side = min(height, width)
    box = torch.tensor(
        [(height - side) // 2, (width - side) // 2, side, side],
        device=images.device,
        dtype=torch.float32,
    )
    return box.expand(len(images), 4)


def random_boxes(
    count: int,
    size: Sequence[int],
    *,
    scale: Sequence[float],
    ratio: Sequence[float],
    device: torch.device,
) -> Tensor:
    """Draw crops of images of ``size`` H, W: (B, 4) y, x, h, w in whole pixels.

    ``count``: B. ``scale``: share of the area; ``ratio``: width / height; least and most of each.
    Every row and column is possible.
    """
    draw = torch.rand(4, count, device=device)
    height, width = size
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draw[0])
    aspect = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draw[1])
    h = (area / aspect).sqrt().round().clamp(1, height)
    w = (area * aspect).sqrt().round().clamp(1, width)
    y = (draw[2] * (height - h + 1)).floor()
    x = (draw[3] * (width - w + 1)).floor()
    return torch.stack([y, x, h, w], -1)


def near_boxes(boxes: Tensor, size: Sequence[int], *, near: float) -> Tensor:
    """Move all crops of an image but the first close to the first: (B, V, 4) y, x, h, w in pixels.

    ``size``: H, W of the images. Each is larger or smaller than the first by up to a factor
    exp(``near``), its centre lies up to the share ``near`` of the first one's sides away, and it
    stays inside the image.
    """
    corner, extent = boxes[:, :1].chunk(2, -1)
    limits = torch.tensor(size, dtype=boxes.dtype, device=boxes.device)
    draw = torch.rand(3, len(boxes), boxes.shape[1] - 1, device=boxes.device) * 2 - 1
    sides = (extent * torch.exp(near * draw[0])[..., None]).round().minimum(limits).clamp(min=1)
    moved = corner + (extent - sides) / 2 + near * extent * draw[1:].movedim(0, -1)
    moved = moved.round().minimum(limits - sides).clamp(min=0)
    return torch.cat([boxes[:, :1], torch.cat([moved, sides], -1)], 1)
