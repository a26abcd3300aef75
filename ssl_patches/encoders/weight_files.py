"""Read files of weights into state dicts with timm's names: those of timm, torchvision,
facebookresearch/mae, TensorFlow's EfficientNet-Lite, an export of ours or a repository of the hub.

Trap: a pickle can carry code. Files are read with ``weights_only=True``, and of the hub nothing but
safetensors is fetched.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ssl_patches.config.hub_names import is_on_hub
from ssl_patches.config.outside import read_json
from ssl_patches.encoders.exported import CARD, CONFIG, WEIGHTS
from ssl_patches.encoders.hub import fetched
from ssl_patches.encoders.layouts import layout_of

DECODER = ("decoder_", "mask_token")
State = dict[str, Tensor]


def read_weights(source: str) -> tuple[State, str]:
    """Read a file, a folder or a repository of the hub (``hf-hub:USER/NAME``) into a flat state
    dict with timm's names, and say where it is from.

    ValueError where it cannot be read.
    """
    if is_on_hub(source):
        folder = fetched(source)
        ours = "an export of ssl_patches" if (folder / CARD).is_file() else "a model of timm"
        return tensors_of(folder / WEIGHTS), f"{ours}, commit {folder.name[:12]} of the hub"
    path = Path(source).expanduser()
    for folder in (path / "encoder", path):  # of a run; an export
        if (file := folder / WEIGHTS).is_file():
            return tensors_of(file), "an export of ssl_patches or timm"
    if not path.is_file():
        raise ValueError(
            f"encoder.pretrained={path}: no such file, and no run or export; name one, a repository"
            " of the hub (hf-hub:USER/NAME), or set encoder.pretrained=true"
        )
    state = state_of_file(path)
    if (layout := layout_of(state)) is not None:
        return state, layout.name
    if "conv_proj.weight" in state:
        return {_vit_key(key): value for key, value in state.items()}, "torchvision ViT"
    if "features.0.0.weight" in state and "features.1.0.layer_scale" in state:
        return (
            dict(_convnext_tensor(key, value) for key, value in state.items()),
            "torchvision ConvNeXt",
        )
    return state, (
        "facebookresearch/mae"
        if any(key.startswith(DECODER) for key in state)
        else "a state dict of timm's names"
    )


def architecture_of(source: str) -> str | None:
    """Return the name that timm has for the network of a folder or a repository of the hub, as
    its ``config.json`` says it; None: nothing says it."""
    folder = fetched(source) if is_on_hub(source) else Path(source).expanduser()
    for place in (folder / "encoder" / CONFIG, folder / CONFIG):
        try:
            found = read_json(place)["architecture"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        return found if isinstance(found, str) else None
    return None


def state_of_file(path: Path) -> State:
    """Read the state dict of a file under its own names.

    ValueError where there is none, or something else than tensors.
    """
    found = tensors_of(path)
    for key in ("model", "state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = cast(dict[str, Any], found[key])
    if not isinstance(found, Mapping) or not all(
        isinstance(value, Tensor) for value in found.values()
    ):
        raise ValueError(
            f"encoder.pretrained={path}: must hold a state dict; save the model's state_dict()"
        )
    return {key.removeprefix("module."): value for key, value in found.items()}


def tensors_of(path: Path) -> Any:
    """Read a file of tensors and plain settings; no code in it is run. ValueError for others."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # in checkpoints of MAE: plain settings
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        SafetensorError,
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:  # torch raises any of these for bytes that are no pickle
        reason = " ".join(str(error).split())[:120]
        if isinstance(error, pickle.UnpicklingError):  # whose advice is to run what is in it
            reason = "it holds other objects, or is damaged"
        raise ValueError(
            f"encoder.pretrained={path}: must hold tensors only, and cannot be read as such"
            f" ({reason}); save its state_dict as .safetensors"
        ) from None


def _vit_key(key: str) -> str:
    """Translate a name of torchvision's ViT into timm's."""
    key = re.sub(r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1.", key)
    for old, new in (
        ("self_attention.in_proj_", "attn.qkv."),
        ("self_attention.out_proj.", "attn.proj."),
        ("ln_1.", "norm1."),
        ("ln_2.", "norm2."),
        ("mlp.linear_1.", "mlp.fc1."),
        ("mlp.linear_2.", "mlp.fc2."),
        ("mlp.0.", "mlp.fc1."),
        ("mlp.3.", "mlp.fc2."),
        ("encoder.ln.", "norm."),
        ("encoder.pos_embedding", "pos_embed"),
        ("class_token", "cls_token"),
        ("conv_proj.", "patch_embed.proj."),
    ):
        key = key.replace(old, new)
    return key


def _convnext_tensor(key: str, value: Tensor) -> tuple[str, Tensor]:
    """Translate a name and a tensor of torchvision's ConvNeXt into timm's.

    Even features are the stem and downsampling, odd ones blocks.
    """
    if key.startswith("classifier.0."):
        return key.replace("classifier.0.", "head.norm."), value
    found = re.match(r"features\.(\d+)\.(\d+)\.(.*)", key)
    if not found:
        return key, value
    place, part, rest = int(found[1]), found[2], found[3]
    if place == 0:
        return f"stem.{part}.{rest}", value
    if place % 2 == 0:
        return f"stages.{place // 2}.downsample.{part}.{rest}", value
    if rest == "layer_scale":
        return f"stages.{place // 2}.blocks.{part}.gamma", value.flatten()
    for old, new in (
        ("block.0.", "conv_dw."),
        ("block.2.", "norm."),
        ("block.3.", "mlp.fc1."),
        ("block.5.", "mlp.fc2."),
    ):
        rest = rest.replace(old, new)
    return f"stages.{place // 2}.blocks.{part}.{rest}", value
