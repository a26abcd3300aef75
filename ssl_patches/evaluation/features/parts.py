"""Read several features in one forward pass: the exported one, every layer pooled, every token.

A *family* is what a probe asks for:

* ``pooled`` is ``pooled``: what the exported model returns, to the bit where nothing else is asked
  for;
* ``layers`` are ``mean.1`` .. ``mean.L`` of each block (ViT) or stage (CNN), and ``cls.1`` .. where
  there is a class token;
* ``tokens`` is ``tokens``: (B, tokens, dim) of the last layer, without class and register tokens.

Layers are those of timm's ``forward_intermediates``, hence of any timm model; those of a ViT pass
through its last norm, as in DINOv2's probes (Oquab et al. 2023, arXiv:2304.07193).

The trap: pooling that differs between train and test, or from what is exported. Both splits are
read by one reader, and ``pooled`` is the model's own head on the very map that the others are taken
from.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor

from ssl_patches.evaluation.features.extract import Precision, Reader, autocast, vector_reader

Family = Literal["pooled", "layers", "tokens"]


def parts_reader(
    model: Any,
    families: Collection[Family],
    *,
    device: str | torch.device,
    precision: Precision = "fp32",
) -> Reader:
    """Make a reader of normalised images (B, C, H, W) that gives the features of ``families``.

    ``model``: an ``nn.Module`` of timm's. ValueError when layers or tokens are asked for and the
    model tells none.
    """
    if set(families) <= {"pooled"}:
        plain = vector_reader(model, device=device, precision=precision)
        return lambda images: {"pooled": plain(images)}
    if not hasattr(model, "forward_intermediates"):
        raise ValueError(
            f"probes: {type(model).__name__} tells no layers (no forward_intermediates); set"
            " probes=[knn,linear]"
        )
    options = {"norm": True} if _takes(model, "norm") else {}
    if _takes(model, "return_prefix_tokens") and getattr(model, "num_prefix_tokens", 0) > 0:
        options["return_prefix_tokens"] = True

    def read(images: Tensor) -> dict[str, Tensor]:
        with autocast(device, precision):
            last, found = model.forward_intermediates(images, **options)
            parts = {"pooled": model.forward_head(last)}
        layers = [layer if isinstance(layer, tuple | list) else (layer, None) for layer in found]
        if "layers" in families:
            for number, (dense, prefix) in enumerate(layers, 1):
                parts[f"mean.{number}"] = dense.float().mean((2, 3))
                if prefix is not None and getattr(model, "cls_token", None) is not None:
                    parts[f"cls.{number}"] = prefix[:, 0]
        if "tokens" in families:
            parts["tokens"] = layers[-1][0].flatten(2).transpose(1, 2)
        return parts

    return read


def _takes(model: Any, option: str) -> bool:
    return option in inspect.signature(model.forward_intermediates).parameters
