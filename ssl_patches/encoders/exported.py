"""Read the folder of an export, and check that it is what was written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from torch import nn

from ssl_patches.config.check import LARGEST_SIDE
from ssl_patches.config.messages import Failed
from ssl_patches.config.outside import read_json
from ssl_patches.encoders.families import check_arguments

CARD, README = "ssl_patches.json", "README.md"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
FILES = (CONFIG, WEIGHTS)
TRAITS = {
    *("input_size", "fixed_input_size", "interpolation", "crop_pct", "crop_mode"),
    *("mean", "std", "num_classes", "pool_size", "first_conv", "classifier"),
}
"""Keys of timm's ``pretrained_cfg`` that an export has; others name files, addresses, loaders."""


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
        card = read_json(path)
    except (ValueError, OSError):  # JSON's and UTF-8's errors are ValueErrors
        card = None
    if not isinstance(card, dict) or not _names_files(card.get("files")):
        raise ExportMismatch(
            f"{directory}: {CARD} is damaged, it is no JSON with the hashes of the files; export"
            " again"
        )
    return card


def _names_files(files: Any) -> bool:
    """Tell whether a card names files of its own folder only, each with a hash."""
    return isinstance(files, dict) and all(
        isinstance(value, str) and name == Path(name).name for name, value in files.items()
    )


def check_hashes(directory: Path, names: Iterable[str] | None = None) -> None:
    """Raise ExportMismatch, naming the files, unless each is byte for byte what was written.

    ``names``: of these files only.
    """
    directory, written = Path(directory), read_card(directory)["files"]
    wrong = []
    for name in written if names is None else names:
        if not (directory / name).is_file():  # neither a pipe nor a device
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
    traits = check_timm_config(directory)
    try:
        model = timm.create_model(f"local-dir:{directory}", pretrained=True).eval()
    except (
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        AssertionError,
        SafetensorError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ExportMismatch(f"{directory}: timm cannot load it ({reason}); export again") from None
    return model, traits


def check_timm_config(directory: Path) -> dict[str, Any]:
    """Check that ``config.json`` describes a network and nothing else; return ``pretrained_cfg``.

    ExportMismatch where it does not (every ValueError on the way becomes one): timm would follow a
    name to other files or to its hub.
    """
    try:
        config = read_json(directory / CONFIG)
        traits, arguments = config["pretrained_cfg"], config["model_args"]
        if not timm.is_model(config["architecture"]) or ":" in config["architecture"]:
            raise ValueError(f"timm has no model {config['architecture']!r}")
        if others := set(traits) - TRAITS:
            raise ValueError(f"pretrained_cfg holds {', '.join(sorted(map(str, others)))}")
        check_arguments(arguments, "model_args")
        sides = [int(side) for side in traits["input_size"]]
        if len(sides) != 3 or not 1 <= sides[1] <= LARGEST_SIDE:
            raise ValueError(f"input_size is {traits['input_size']}")
        for key in ("mean", "std"):
            if len(traits[key]) != sides[0] or not all(map(math.isfinite, traits[key])):
                raise ValueError(f"{key} is {traits[key]}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportMismatch(
            f"{directory}: {CONFIG} is not what ssl-patches writes ({error}); export again"
        ) from None
    return dict(traits)


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
