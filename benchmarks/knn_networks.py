"""The networks of time_to_knn.py, new, and what their images are normalised by."""

from __future__ import annotations

from typing import Any

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CIFAR10 = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
NARROW = {"channels": [64, 128, 256, 256], "layers": [1, 1, 1, 0], "stem_width": 16}
"""Our network of 32 px photographs: conf/encoder/resnet_small.yaml."""


def plain_resnet18(*, head: bool = False) -> Any:
    """ResNet-18 of torchvision; ``head``: with its classifier."""
    import torch
    from torchvision.models import resnet18

    model = resnet18(weights=None)
    if not head:
        model.fc = torch.nn.Identity()
    return model


def cifar_resnet18() -> Any:
    """ResNet-18 for 32 px, as papers on CIFAR-10 have it: a 3 x 3 stem, no pooling after it."""
    import torch

    model = plain_resnet18()
    model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = torch.nn.Identity()
    return model


def narrow_resnet() -> Any:
    """Our network for 32 px, new."""
    import timm

    return timm.create_model("resnet10t", num_classes=0, output_stride=32, **NARROW)
