"""Load weights to go on from: timm's own, a file or folder of weights, or a repository of the hub.

Strict: every tensor of the encoder is found in the file with its own shape, or the request is
refused and all that does not fit is listed. What is left out, renamed, resized or adapted to other
channels is said in one line, which a run prints.

Traps: (a) timm adds a position to the class token, ours has none: the two are added up once, here.
(b) timm's ConvNeXt norms what it has pooled, and some ViTs too (``fc_norm``): the same weights norm
each position here, so pooled features differ a little from timm's.
"""

from __future__ import annotations

import math

import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.hub import check_reachable, in_cache
from ssl_patches.encoders.layouts import in_order, layout_of
from ssl_patches.encoders.weight_files import (
    DECODER,
    State,
    architecture_of,
    read_weights,
)

HEADS = ("head.", "head_dist.", "heads.", "fc.", "classifier.")


def load_weights(encoder: Encoder, source: str | bool) -> str:
    """Put the weights of ``source`` (true: timm's for that name) into ``encoder``; says in a line
    what was done.

    ValueError where the file cannot be read or its weights do not fit.
    """
    if source is True:
        state, kind = _of_timm(encoder), "timm's weights"
    else:
        state, kind = read_weights(str(source))
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
        other = layout.architecture if layout else _other_network(encoder, source)
        told = "; ".join(
            f"{len(keys)} {what}: {_some(keys)}" for what, keys in found.items() if keys
        )
        raise ValueError(
            f"encoder.pretrained={_said(source)}: must fit {encoder.architecture} with"
            f" {encoder.arguments}, but {told}; "
            + (
                _remedy(unexpected, missing, shapes)
                if other is None
                else f"these are weights of encoder.name={other}"
            )
        )
    encoder.model.load_state_dict(own | state)
    encoder.keep_table()
    matched = f"{len(state)} of {len(own) - len(counts)} tensors matched"
    return "; ".join([f"encoder.pretrained={_said(source)}: {kind}, {matched}", *notes])


def _other_network(encoder: Encoder, source: str | bool) -> str | None:
    """Name the network that the weights are of, where a folder says it and it is another."""
    named = None if isinstance(source, bool) else architecture_of(source)
    return None if named == encoder.architecture else named


def _of_timm(encoder: Encoder) -> State:
    """Take timm's weights from the cache, or download them.

    ValueError when there are none or they cannot be reached.
    """
    try:
        check_reachable(encoder.architecture)
        kept = in_cache(encoder.architecture)
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
