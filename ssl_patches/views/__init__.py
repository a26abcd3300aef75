"""Make views of stored images: batched augmentation on the device, parameters drawn per image."""

from ssl_patches.views.augment import Augment
from ssl_patches.views.crop import CropFlip, Whole, random_boxes, whole_boxes
from ssl_patches.views.module import ViewModule
from ssl_patches.views.multi import MultiCrop
from ssl_patches.views.operations import Blur, Colour, Grey, Intensity, Rotate

__all__ = [
    "Augment",
    "Blur",
    "Colour",
    "CropFlip",
    "Grey",
    "Intensity",
    "MultiCrop",
    "Rotate",
    "ViewModule",
    "Whole",
    "random_boxes",
    "whole_boxes",
]
