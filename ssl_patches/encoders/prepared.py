"""Find out how images were prepared for weights that come from elsewhere.

A run and an export say it in their files, timm in its table of models, and public networks that are
known by their names (``layouts``) had one preparation. Any other state dict says nothing: what is
usual for it is the user's to know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from ssl_patches.config.hub_names import is_on_hub
from ssl_patches.encoders.exported import CARD, CONFIG, WEIGHTS, stored_range_of
from ssl_patches.encoders.hub import fetched
from ssl_patches.encoders.layouts import Layout, layout_of
from ssl_patches.encoders.weight_files import state_of_file


@dataclass(frozen=True)
class PreparedFor:
    """How images were prepared for weights: mean and deviation per channel, of pixels as shares
    0..1, and the stored values that were black and white (None: by their type)."""

    mean: Sequence[float]
    std: Sequence[float]
    stored_range: Sequence[float] | None = None

    def of(self, channels: int) -> tuple[list[float], list[float]]:
        """Return mean and deviation for ``channels``: averaged where the weights had others."""
        mean, std = list(self.mean), list(self.std)
        if len(mean) == channels:
            return mean, std
        return [sum(mean) / len(mean)] * channels, [sum(std) / len(std)] * channels


def prepared_for(weights: str | bool, name: str) -> PreparedFor | None:
    """Return how images were prepared for ``encoder.pretrained=weights``; None where nobody says.

    ``name``: of the encoder, for timm's own weights (true). ExportMismatch for a card that states
    no range where one is due; ValueError where a repository of the hub cannot be had.
    """
    if weights is True:
        known: Any = timm.get_pretrained_cfg(name)
        return None if known is None else PreparedFor(tuple(known.mean), tuple(known.std))
    place = fetched(weights) if is_on_hub(weights) else Path(str(weights)).expanduser()
    folders = (place.parent,) if place.name == WEIGHTS else (place / "encoder", place)
    for folder in folders:
        config = _read(folder / CONFIG)
        traits = config.get("pretrained_cfg", config)  # older files of timm have one level
        if isinstance(traits, Mapping):
            try:
                mean, std = (tuple(map(float, traits[key])) for key in ("mean", "std"))
            except (KeyError, TypeError, ValueError):  # told when the weights are loaded
                continue
            return PreparedFor(mean, std, stored_range_of(_read(folder / CARD))) if mean else None
    layout = layout_of_file(place)
    return None if layout is None else PreparedFor(tuple(layout.mean), tuple(layout.std))


def layout_of_file(place: Path) -> Layout | None:
    """Tell which public network the weights in a file are of; None where nothing says it."""
    if not place.is_file():
        return None
    try:
        return layout_of(state_of_file(place))
    except ValueError:  # told when the weights are loaded
        return None


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON file's mapping; whoever loads the weights says what is wrong with it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
