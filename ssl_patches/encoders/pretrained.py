"""Load weights to go on from: timm's own, or a file of timm, torchvision, facebookresearch/mae,
TensorFlow's EfficientNet-Lite, or an export of ours.

Strict: every tensor of the encoder is found in the file with its own shape, or the request is
refused and all that does not fit is listed. What is left out, renamed, resized or adapted to other
channels is said in one line, which a run prints.

Traps: (a) a pickle can carry code: files are read with ``weights_only=True``. (b) timm adds a
position to the class token, ours has none: the two are added up once, here. (c) timm's ConvNeXt
norms what it has pooled, and some ViTs too (``fc_norm``): the same weights norm each position here,
so pooled features differ a little from timm's.
"""

from __future__ import annotations

import argparse
import math
import pickle
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import timm
import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv
from torch import Tensor

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.layouts import in_order, layout_of

HEADS = ("head.", "head_dist.", "heads.", "fc.", "classifier.")
DECODER = ("decoder_", "mask_token")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order in which timm prefers them
PATIENCE = 5.0  # seconds in which the hub must answer
State = dict[str, Tensor]


def load_weights(encoder: Encoder, source: str | bool) -> str:
    """Put the weights of ``source`` (true: timm's for that name) into ``encoder``; says in a line
    what was done.

    ValueError where the file cannot be read or its weights do not fit.
    """
    if source is True:
        state, kind = _of_timm(encoder), "timm's weights"
    else:
        state, kind = _read(Path(str(source)).expanduser())
    given = state
    state, notes = _fitted(encoder, given, source)
    own = encoder.model.state_dict()
    counts = {key for key in own if key.endswith("num_batches_tracked")} - set(state)
    missing = sorted(set(own) - set(state) - counts)
    unexpected = sorted(set(state) - set(own))
    shapes = [
        f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    if missing or unexpected or shapes:
        found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        layout = layout_of(given)
        told = "; ".join(
            f"{len(keys)} {what}: {_some(keys)}" for what, keys in found.items() if keys
        )
        raise ValueError(
            f"encoder.pretrained={_said(source)}: must fit {encoder.architecture} with"
            f" {encoder.arguments}, but {told}; "
            + (
                _remedy(unexpected, missing, shapes)
                if layout is None
                else f"these are weights of encoder.name={layout.architecture}"
            )
        )
    encoder.model.load_state_dict(own | state)
    encoder.keep_table()
    matched = f"{len(state)} of {len(own) - len(counts)} tensors matched"
    return "; ".join([f"encoder.pretrained={_said(source)}: {kind}, {matched}", *notes])


def _of_timm(encoder: Encoder) -> State:
    """Take timm's weights from the cache, or download them.

    ValueError when there are none or they cannot be reached.
    """
    try:
        check_reachable(encoder.architecture)
        kept = _in_cache(encoder.architecture)
        return timm.create_model(
            encoder.architecture,
            pretrained=True,
            num_classes=0,
            in_chans=encoder.arguments["in_chans"],
            pretrained_cfg_overlay=None if kept is None else {"file": kept},
        ).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"encoder.pretrained=true: timm's weights of {encoder.architecture} cannot be had"
            f" ({reason}); name a file, encoder.pretrained=FILE, or set encoder.pretrained=false"
        ) from None


def check_reachable(name: str) -> None:
    """Look whether timm's weights of a name can be had: kept here, or a hub that answers.

    OSError where neither is so, within seconds.
    """
    if _in_cache(name) is None and not constants.HF_HUB_OFFLINE:
        _ask_hub()


def _in_cache(name: str) -> str | None:
    """Find the weights of a timm name that were downloaded before, without a network."""
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id or known.custom_load:
        return None
    repository, _, revision = known.hf_hub_id.partition("@")
    for file in [known.hf_hub_filename] if known.hf_hub_filename else HUB_FILES:
        try:
            return hf_hub_download(
                repository, file, revision=revision or None, local_files_only=True
            )
        except LocalEntryNotFoundError:
            continue
    return None


def _ask_hub() -> None:
    """Ask the hub one question: its client tries for two minutes where there is no network.

    OSError where nothing answers. An answer of any kind will do: proxies and certificates are the
    client's to judge.
    """
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return
    except URLError as error:
        if not isinstance(error.reason, ssl.SSLError):
            raise


def _read(path: Path) -> tuple[State, str]:
    """Read a file into a flat state dict with timm's names, and say where it is from."""
    for folder in (path / "encoder", path):  # of a run; an export
        if (file := folder / "model.safetensors").is_file():
            return _tensors(file), "an export of ssl_patches or timm"
    if not path.is_file():
        raise ValueError(
            f"encoder.pretrained={path}: no such file, and no run or export; name one, or set"
            " encoder.pretrained=true"
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


def state_of_file(path: Path) -> State:
    """Read the state dict of a file under its own names.

    ValueError where there is none, or something else than tensors.
    """
    found = _tensors(path)
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


def _tensors(path: Path) -> Any:
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


def _fitted(encoder: Encoder, state: State, source: str | bool) -> tuple[State, list[str]]:
    """Fit a state to the encoder, and say what was done.

    Heads and decoder go; norms and positions become those of the encoder, the stem that for its
    channels.
    """
    own, notes = encoder.model.state_dict(), []
    if (layout := layout_of(state)) is not None:
        state, head = in_order(state, layout, list(own))
        notes.append(f"tensors in order; left out: {len(head)} of the head ({_some(head)})")
    for old, new in (("head.norm.", "norm_pre."), ("fc_norm.", "norm.")):
        if f"{new}weight" in own and f"{new}weight" not in state and f"{old}weight" in state:
            state = {
                key.replace(old, new) if key.startswith(old) else key: value
                for key, value in state.items()
            }
            notes.append(f"{old[:-1]} norms each position")
    for what, begins in (("head", HEADS), ("decoder", DECODER)):
        left = [key for key in state if key.startswith(begins) and key not in own]
        if left:
            notes.append(f"left out: {len(left)} of the {what} ({_some(left)})")
            state = {key: value for key, value in state.items() if key not in left}
    if "pos_embed" in state and "pos_embed" in own:
        state, said = _placed(encoder, state, source)
        notes += said
    for (
        key,
        weight,
    ) in (
        state.items()
    ):  # linear and convolution weights of one shape are told apart by their number of sides
        want = own.get(key)
        if (
            want is not None
            and want.dim() == 4
            and weight.shape != want.shape
            and weight.dim() > 1
            and weight.shape[1] == 3
        ):
            adapted = adapt_input_conv(encoder.arguments["in_chans"], weight)
            if adapted.shape == want.shape:
                state[key] = adapted
                notes.append(f"{key} adapted from 3 to {want.shape[1]} channels")
                break
    for (
        key,
        weight,
    ) in state.items():  # a convolution of 1 x 1 written as a matrix, or the other way round
        want = own.get(key)
        if (
            want is not None
            and want.numel() == weight.numel()
            and {want.dim(), weight.dim()} == {2, 4}
        ):
            state[key] = weight.reshape(want.shape)
    return state, notes


def _placed(encoder: Encoder, state: State, source: str | bool) -> tuple[State, list[str]]:
    """Fit positions to the encoder's grid; those of prefix tokens go into these tokens."""
    model, table = encoder.model, state["pos_embed"]
    rows, cols = model.patch_embed.grid_size
    prefix = [key for key in ("cls_token", "reg_token") if key in state]
    extra = table.shape[1] - math.isqrt(table.shape[1]) ** 2
    if extra and sum(state[key].shape[1] for key in prefix) != extra and extra != 1:
        raise ValueError(
            f"encoder.pretrained={_said(source)}: its position table of {table.shape[1]} entries is"
            " of no square grid; name other weights"
        )
    side, at = math.isqrt(table.shape[1] - extra), 0
    state = dict(state)
    for key in prefix if extra else ():
        count = min(state[key].shape[1], extra - at)
        state[key] = state[key].clone()
        state[key][:, :count] += table[:, at : at + count]
        at += count
    grid = resample_abs_pos_embed(
        table[:, extra:], new_size=[rows, cols], old_size=[side, side], num_prefix_tokens=0
    )
    whole = torch.zeros(1, model.pos_embed.shape[1], table.shape[2])
    whole[:, whole.shape[1] - rows * cols :] = grid
    state["pos_embed"] = whole
    return state, (
        []
        if side == rows == cols
        else [f"positions resized from {side} x {side} to {rows} x {cols}"]
    )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "")


def _said(source: str | bool) -> str:
    return "true" if source is True else str(source)


def _remedy(unexpected: list[str], missing: list[str], shapes: list[str]) -> str:
    if "cls_token" in unexpected:
        return "set encoder.options.class_token=true"
    if "cls_token" in missing:
        return "set encoder.options.class_token=false"
    if any(text.startswith("patch_embed.proj") for text in shapes):
        return "set encoder.patch_size to the side of its kernels"
    if any(text.startswith("stem.") for text in shapes):
        return "set encoder.output_stride=16, which has the stem of the weights"
    return (
        "name weights of this encoder, or the encoder of these weights (encoder.name,"
        " encoder.options)"
    )
