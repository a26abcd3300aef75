"""Read an encoder: from an export, a run, or by its timm name."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from ssl_patches.config.messages import Failed, closest

CARD, README = "ssl_patches.json", "README.md"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
FILES = (CONFIG, WEIGHTS)


class ExportMismatch(Failed):
    """Raised where an export is not what was trained, or not what was written."""


def as_json(value: Any, key: str) -> str:
    """Write ``value`` as strict JSON. ValueError, naming ``key``, where it has none."""
    try:
        return json.dumps(value, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{key}={value!r}: must be plain JSON ({error}); give numbers, strings, lists, dicts"
        ) from error


def sha256(path: Path) -> str:
    """Compute the sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(directory: Path) -> dict[str, Any]:
    """Read ``ssl_patches.json``, the card of an export.

    ValueError when ``directory`` is not an export of ours; ExportMismatch: damaged.
    """
    path = Path(directory) / CARD
    if not path.is_file():
        raise ValueError(
            f"model={directory}: must be an export of ssl_patches and has no {CARD}; "
            "name the folder that `ssl-patches export` wrote"
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # JSON's and UTF-8's errors are ones
        card = None
    if not isinstance(card, dict) or not isinstance(card.get("files"), dict):
        raise ExportMismatch(
            f"{directory}: {CARD} is damaged, it is no JSON with the hashes of the files; export"
            " again"
        )
    return card


def check_hashes(directory: Path, names: Iterable[str] | None = None) -> None:
    """Raise ExportMismatch, naming the files, unless each is byte for byte what was written.

    ``names``: of these files only.
    """
    directory, written = Path(directory), read_card(directory)["files"]
    wrong = []
    for name in written if names is None else names:
        if not (directory / name).is_file():
            wrong.append(f"{name} is missing")
        elif name not in written or sha256(directory / name) != written[name]:
            wrong.append(f"{name} has changed")
    if wrong:
        raise ExportMismatch(
            f"{directory}: {', '.join(wrong)} since the export was written; export again"
        )


def load_timm_folder(directory: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load the model of an export in eval mode, and its preprocessing (timm's pretrained_cfg).

    The files it reads are checked first. ValueError where the export has no timm format;
    ExportMismatch where a file was changed.
    """
    directory = Path(directory)
    if "timm" not in read_card(directory).get("formats", {"timm": {}}):
        raise ValueError(
            f"model={directory}: was exported without the timm format; export it again with"
            " formats=[timm]"
        )
    check_hashes(directory, FILES)
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    return (
        timm.create_model(f"local-dir:{directory}", pretrained=True).eval(),
        config["pretrained_cfg"],
    )


def stored_range_of(card: Mapping[str, Any]) -> Sequence[float] | None:
    """Return the stored values that are black and white, as a card says them; None: by their type.

    Cards of before say it in the configuration of the run alone. ExportMismatch where it is no
    range.
    """
    data = (card.get("config") or {}).get("data") or {}
    said = (card.get("preprocessing") or {}).get("stored_range", data.get("value_range"))
    if said is None:
        return None
    try:
        low, high = map(float, said)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ExportMismatch(f"{CARD}: stored_range is {said!r}, no two numbers; export again")
    return low, high


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
    """Open the model that a word names: a run, an export, or one of timm's.

    ValueError when it is none of them.
    """
    place = Path(model)
    if place.is_dir():
        folder = place if (place / CARD).is_file() else place / "encoder"
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
    if not timm.is_model(model):
        near = closest(model, timm.list_models())
        hint = f"did you mean '{near}'?" if near else "give a run, an export or a timm name"
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
