"""Open the encoder that a word names: a run, an export, a repository of the hub, a name of timm.

A repository that ``push`` sent is read as the export that it is. Of another one of timm the network
is made here from what its ``config.json`` says, and only tensors are read: timm itself would follow
other keys to files and addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from ssl_patches.config.hub_names import is_on_hub
from ssl_patches.config.messages import closest
from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import CONFIG as RUN
from ssl_patches.encoders.exported import (
    CARD,
    CONFIG,
    WEIGHTS,
    load_timm_folder,
    read_card,
    stored_range_of,
)
from ssl_patches.encoders.families import check_arguments
from ssl_patches.encoders.hub import fetched
from ssl_patches.encoders.weight_files import tensors_of

ABOUT_IMAGES = ("input_size", "mean", "std")


@dataclass(frozen=True)
class Subject:
    """A model to evaluate, and how it wants its images."""

    model: nn.Module
    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    cfg: Mapping[str, Any] | None  # of the run it comes from
    fingerprint: str | None = None  # of the images it was trained on
    # stored values that are black and white in images of more than 8 bits; None: by their type
    stored_range: Sequence[float] | None = None


def open_model(model: str, *, pretrained: bool, key: str = "model") -> Subject:
    """Open the model that a word names: a run, an export, one of the hub or one of timm's.

    ValueError when it is none of them.
    """
    if is_on_hub(model):
        return _on_hub(model, key)
    place = Path(model)
    if place.is_dir():
        folder = place if (place / CARD).is_file() else place / "encoder"
        if (place / RUN).is_file() and not folder.is_dir():
            raise ValueError(
                f"{key}={model}: is a run without an encoder, not finished or with export=none;"
                f" give it one: ssl-patches export model={model} output={folder}"
            )
        return _of_export(folder)
    if not timm.is_model(model):
        near = closest(model, timm.list_models())
        others = "give a run, an export, hf-hub:USER/NAME or a timm name"
        hint = f"did you mean '{near}'?" if near else others
        raise ValueError(f"{key}={model}: no such folder, and timm has no such model; {hint}")
    try:
        net = timm.create_model(model, pretrained=pretrained, num_classes=0).eval()
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ValueError(
            f"{key}={model}: timm's weights cannot be loaded ({reason}); set pretrained=false, or"
            " name a folder"
        ) from None
    own: Any = net.pretrained_cfg
    return Subject(net, own["input_size"][1], own["mean"], own["std"], None)


def _of_export(folder: Path) -> Subject:
    """Open the folder of an export. ExportMismatch where it is not what was written."""
    net, traits = load_timm_folder(folder)
    card = read_card(folder)
    return Subject(
        net,
        traits["input_size"][1],
        traits["mean"],
        traits["std"],
        card.get("config"),
        card.get("data_fingerprint"),
        stored_range=stored_range_of(card),
    )


def _on_hub(word: str, key: str) -> Subject:
    """Open ``hf-hub:USER/NAME[@REVISION]``. ValueError, naming ``key``, where that is no model."""
    folder = fetched(word, key)
    if (folder / CARD).is_file():
        return _of_export(folder)
    try:
        return _of_timm(folder)
    except (OSError, ValueError, TypeError, AssertionError, RuntimeError, LookupError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{key}={word}: its network cannot be made ({reason}); name a repository that timm or"
            " ssl-patches push wrote"
        ) from None


def _of_timm(folder: Path) -> Subject:
    config = read_json(folder / CONFIG)
    arguments = {**(config.get("model_args") or {})}
    check_arguments(arguments, "model_args")
    arguments.pop("num_classes", None)
    net = timm.create_model(config["architecture"], num_classes=0, **arguments).eval()
    state = tensors_of(folder / WEIGHTS)
    wanted = net.state_dict()
    net.load_state_dict({name: state[name] for name in wanted})  # what is left over is the head
    own: dict[str, Any] = {**net.pretrained_cfg}  # type: ignore[dict-item]
    said = config.get("pretrained_cfg", config)  # flat in older files of timm
    own |= {name: said[name] for name in ABOUT_IMAGES if name in said}
    return Subject(net, int(own["input_size"][1]), own["mean"], own["std"], None)
