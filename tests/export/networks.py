"""Small networks for the tests of exports, and what writes them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from ssl_patches.export import Exportable, Preprocessing, Proof, Wanted, export_model, proof, reload
from ssl_patches.export import write as writing
from ssl_patches.export.reference import reference_images

VIT = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "num_heads": 3,
    "depth": 2,
    "global_pool": "avg",
    "fc_norm": False,
}
RESNET = {"output_stride": 8, "layers": [1, 1, 1, 1], "channels": [16, 24, 32, 48]}
NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("vit_tiny_patch16_224", {**VIT, "class_token": False}, 3),
    "vit_cls": ("vit_tiny_patch16_224", {**VIT, "class_token": True, "global_pool": "token"}, 3),
    "vit_fixed": (
        "vit_tiny_patch16_224",
        {**VIT, "class_token": False, "dynamic_img_size": False},
        3,
    ),
    "resnet": ("resnet18", RESNET, 3),
    "resnet_gray": ("resnet18", {**RESNET, "in_chans": 1}, 1),
}
CARD = {
    "task": "jigsaw",
    "data_fingerprint": "0123",
    "images": 10,
    "results": [{"model": "trained", "n": 10}],
}


def stirred(model: nn.Module) -> nn.Module:
    """Not like a fresh one: noise on every weight, BatchNorm statistics that moved."""
    torch.manual_seed(3)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(
                    0.05 * torch.rand_like(tensor)
                    if "running_var" in key
                    else 0.02 * torch.randn_like(tensor)
                )
    return model.eval()


def build(name: str) -> nn.Module:
    architecture, arguments, _ = NETWORKS[name]
    torch.manual_seed(2)
    return stirred(timm.create_model(architecture, num_classes=0, **arguments))


def preprocessing(channels: int, **changes: Any) -> Preprocessing:
    return Preprocessing(
        **{"image_size": 32, "mean": [0.4] * channels, "std": [0.25] * channels, **changes}
    )


def exportable(name: str, model: nn.Module | None = None, **changes: Any) -> Exportable:
    architecture, arguments, channels = NETWORKS[name]
    given = Exportable(
        model=build(name) if model is None else model,
        architecture=architecture,
        arguments=arguments,
        preprocessing=preprocessing(channels),
    )
    return replace(given, **changes)


def write(
    name: str,
    directory: Path,
    model: nn.Module | None = None,
    *,
    overwrite: bool = False,
    **wanted: Any,
) -> Proof:
    return export_model(
        exportable(name, model), directory, wanted=Wanted(**wanted), card=CARD, overwrite=overwrite
    )


def inputs(channels: int = 3, size: tuple[int, int] = (32, 32), count: int = 8) -> torch.Tensor:
    """Normalised images, as the exports of these networks want them."""
    return (reference_images(count, channels, size).float() / 255 - 0.4) / 0.25


def same(model: nn.Module, other: nn.Module, channels: int = 3) -> float:
    with torch.inference_mode():
        expected = model(inputs(channels))
        return ((other(inputs(channels)) - expected).abs().max() / expected.abs().max()).item()


@contextmanager
def proven_in_this_process(images: int = 8) -> Iterator[None]:
    """Everything that ``reload.py`` computes, without the seconds that a process takes: not for
    tests about isolation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            proof,
            "_in_another_process",
            lambda *given: reload.differences(*map(str, given)) | {"isolated": True},
        )
        patch.setattr(writing, "IMAGES", images)
        yield


class HeldModel(nn.Module):
    """As much of an encoder as an export needs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.architecture, self.arguments, _ = NETWORKS[name]
        self.model = build(name)

    def calibrate(self, images: Any) -> None:
        for layer in (part for part in self.model.modules() if isinstance(part, nn.BatchNorm2d)):
            layer.reset_running_stats()
            layer.momentum = None
        self.model.train()
        for batch in images:
            self.model(batch)

    def export(self, image_size: int) -> nn.Module:
        return copy.deepcopy(self.model).eval()
