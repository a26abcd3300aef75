"""Describe what is exported: a plain timm model, how to rebuild it, and how its images are
prepared.

Traps: timm interpolates a position table silently when a model is built at another size, so a ViT
is asked for by its own ``img_size`` and, for other sizes, by ``dynamic_img_size=True``, which
leaves the outputs at its own size alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import timm
import torch
from torch import nn

from ssl_patches.encoders.network import Preprocessing

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """A timm model to export, how to rebuild it, and how its images are prepared.

    ``model`` is ``timm.create_model(architecture, num_classes=0, **arguments)`` with float32
    weights, in eval mode. ValueError where it is not.
    """

    model: Any  # an nn.Module of timm's, with its attributes
    architecture: str
    arguments: Mapping[str, Any]
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        if getattr(self.model, "num_classes", None) != 0 or not hasattr(
            self.model, "pretrained_cfg"
        ):
            raise ValueError(
                f"export.model={type(self.model).__name__}: must be a plain timm model without a"
                " classifier; call model.reset_classifier(0), or export the encoder's own timm"
                " module"
            )
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point() and tensor.dtype != torch.float32:
                raise ValueError(
                    f"export.model: {name} is {tensor.dtype}, must be float32; call model.float()"
                    " first"
                )

    @property
    def unit(self) -> int:
        """Return the pixels per position of the dense map: patch of a ViT, stride of a CNN."""
        return self.model.feature_info[-1]["reduction"]

    @property
    def positions(self) -> int:
        """Return the positions along a side of the dense map of an image of its own size."""
        return -(-self.preprocessing.image_size // self.unit)

    @property
    def any_size(self) -> bool:
        """Tell whether the network takes images of other sizes than its own."""
        if hasattr(self.model, "dynamic_img_size"):
            return self.arguments.get("dynamic_img_size", True)
        return not self.model.pretrained_cfg.get("fixed_input_size")

    @property
    def rebuilt(self) -> dict[str, Any]:
        """Return the arguments, with other sizes switched on where there is a switch for them."""
        switch = (
            {"dynamic_img_size": True}
            if hasattr(self.model, "dynamic_img_size") and self.any_size
            else {}
        )
        return {**self.arguments, **switch}

    def sizes(self) -> tuple[Size, ...]:
        """Return the height and width of the images of a proof.

        They are its own, another one and one that is not square, or its own only. The other one is
        smaller where that leaves two positions along a side, which a graph needs
        (``graphs``).
        """
        own = self.preprocessing.image_size
        if not self.any_size:
            return ((own, own),)
        count, unit = self.positions, self.unit
        other = unit * (3 * count // 4 if count > 2 else count + 1)
        return (own, own), (other, other), (unit * count, unit * (count + max(1, count // 2)))

    def at(self, size: Size) -> nn.Module:
        """Copy the trained model for images of ``size`` (height, width), on the CPU."""
        model = copy.deepcopy(self.model).cpu().float().eval()
        if size != (self.preprocessing.image_size,) * 2 and hasattr(model, "set_input_size"):
            model.set_input_size(img_size=size)
        return model

    def dynamic(self) -> nn.Module:
        """Copy the model for every size that the architecture allows, on the CPU."""
        if self.rebuilt == self.arguments:
            return copy.deepcopy(self.model).cpu().eval()
        model = timm.create_model(
            self.architecture, pretrained=False, num_classes=0, **self.rebuilt
        )
        model.load_state_dict(self.model.state_dict(), strict=True)
        return model.eval()

    def resized(self, image_size: int) -> Exportable:
        """Return the same for images of another size in pixels.

        A position table is interpolated (bicubic, antialiased, as timm does it). ValueError for a
        size that is no multiple of the patch.
        """
        if image_size == self.preprocessing.image_size:
            return self
        table = hasattr(self.model, "set_input_size")
        if image_size < self.unit or (table and image_size % self.unit):
            nearest = max(1, round(image_size / self.unit)) * self.unit
            raise ValueError(
                f"image_size={image_size}: must be a multiple of {self.unit} px, the patch of"
                f" {self.architecture}; set image_size={nearest}"
            )
        return replace(
            self,
            model=self.at((image_size, image_size)),
            arguments={**self.arguments, **({"img_size": image_size} if table else {})},
            preprocessing=replace(self.preprocessing, image_size=image_size),
        )


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """The formats to write, and how.

    ``precision``: of the stored weights. ``input``: of the graphs (ONNX, torch.export); uint8 takes
    the normalisation inside, uint16 also the stored range. ``image_size``: in pixels, None: that
    of the encoder.
    """

    formats: Sequence[str] = ("timm",)
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    input: Literal["float32", "uint8", "uint16"] = "float32"
    image_size: int | None = None
    license: str | None = None
