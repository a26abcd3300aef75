"""Tell what taught public weights, as far as a name or a file says it, and warn of a task that
spoils them.

Going on with masked pixels spoils what supervised, DINO or CLIP weights had: in a study of 15 data
sets and 3 encoders MAE continued on DINOv3 or CLIP lost up to 76 points of nearest neighbours,
while tasks that compare views gained on images unlike photographs (planning notes of a public
repository, unpublished; docs/encoders.md). Weights of MAE nearly always gained.

The trap: a state dict without a head or a telling name says nothing, and then nothing is said.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import timm

from ssl_patches.config.hub_names import is_on_hub
from ssl_patches.encoders.exported import CARD, WEIGHTS
from ssl_patches.encoders.hub import fetched
from ssl_patches.encoders.layouts import layout_of
from ssl_patches.encoders.pretrained import HEADS
from ssl_patches.encoders.weight_files import state_of_file

WORDS = {"dino": "DINO", "clip": "CLIP", "mae": "MAE"}
"""What a name of weights holds -> what taught them."""
LABELS = "labels"
FAULT = (
    "masked pixels are known to spoil such weights (a study of 15 data sets, see docs/encoders.md)"
)


def taught_by(weights: str | bool, name: str) -> str | None:
    """Tell what taught ``encoder.pretrained=weights``: DINO, CLIP, MAE, labels; None: nobody says.

    ``name``: of the encoder, for timm's own weights (true). A run and an export of ours say
    nothing: they were taught here.
    """
    if weights is True:
        known: Any = timm.get_pretrained_cfg(name)
        tag = "" if known is None else f"{known.tag} {known.hf_hub_id or ''} {name}"
        return _named(tag) or (LABELS if tag else None)
    place = Path(str(weights)).expanduser()
    if is_on_hub(weights):
        folder = fetched(weights)
        if (folder / CARD).is_file():  # of ours
            return None
        place, title = folder / WEIGHTS, weights
    elif not place.is_file():
        return None
    else:
        title = place.name
    if (named := _named(title)) is not None:
        return named
    try:
        names = state_of_file(place)
    except ValueError:  # told when the weights are loaded
        return None
    return LABELS if _has_head(names) else None


def caution(weights: str | bool | None, name: str, tasks: Collection[str]) -> str | None:
    """Return a line where ``masked`` goes on from weights that it spoils; None: all is well.

    ``tasks``: their names.
    """
    if not weights or "masked" not in tasks:
        return None
    found = taught_by(weights, name)
    if found in (None, "MAE"):
        return None
    said = "true" if weights is True else weights
    return (
        f"encoder.pretrained={said}: taught by {found}, and {FAULT}; task=agree goes on from them"
        " (experiment=go_on), or leave encoder.pretrained out"
    )


def _named(text: str) -> str | None:
    lower = text.lower()
    return next((what for word, what in WORDS.items() if word in lower), None)


def _has_head(names: Collection[str]) -> bool:
    """Tell whether there is a classifier: only labels teach one."""
    layout = layout_of(names)
    heads = HEADS if layout is None else (layout.head,)
    return any(name.startswith(heads) and name.endswith("weight") for name in names)
