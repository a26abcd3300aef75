"""A folder that timm loads by itself: weights, how to rebuild the network, and how to prepare images.

``timm.create_model("local-dir:DIR", pretrained=True)`` is all that a user needs; ssl_patches is not. The folder holds
``config.json``, ``model.safetensors``, ``README.md`` and ``ssl_patches.json``: the card, with the sha256 of the others.

Traps: timm falls silently back to what an architecture has by default when ``model_args`` lack an argument that leaves
the weights' shapes alone (``output_stride``, ``global_pool``): a proof must compare outputs, see ``proof.py``.
transformers passes ``num_classes`` itself and refuses a second one in ``model_args``. timm writes ImageNet's
preprocessing unless told ours. A killed process must not leave half a folder under the final name.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from ssl_patches.export.readme import readme
from ssl_patches.export.staging import staged
from ssl_patches.wording import Failed

CONFIG, WEIGHTS, README, CARD = "config.json", "model.safetensors", "README.md", "ssl_patches.json"
LOADED = (CONFIG, WEIGHTS)
NOT_ARCHITECTURE = {"num_classes", "pretrained", "checkpoint_path"}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


class ExportMismatch(Failed):
    """An export is not what was trained, or not what was written."""


def write_timm_folder(
    model: nn.Module,
    directory: Path,
    *,
    architecture: str,
    arguments: dict[str, Any],
    image_size: int,
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: str = "bilinear",
    crop_pct: float = 1.0,
    card: Mapping[str, Any],
    overwrite: bool = False,
) -> Path:
    """Write ``model``, a plain timm model with ``num_classes=0`` and float32 weights, and return the folder.

    ``arguments``: those of ``timm.create_model(architecture, ...)`` that rebuild it; ``mean``, ``std``: one number per
    channel, in units of 0..1. ValueError for a bad argument, or when ``directory`` is in use (see ``staged``).
    """
    preprocessing = {"mean": list(mean), "std": list(std), "interpolation": interpolation, "crop_pct": crop_pct}
    config = timm_config(model, architecture, arguments, size=(channels, image_size, image_size), **preprocessing)
    with staged(directory, overwrite=overwrite, mark=CARD) as folder:
        write_files(folder, model, config, card)
    return Path(directory)


def timm_config(
    model: nn.Module,
    architecture: str,
    arguments: Mapping[str, Any],
    *,
    size: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: str = "bilinear",
    crop_pct: float = 1.0,
) -> dict[str, Any]:
    """What ``config.json`` says. ``size``: channels, height, width. Raises ValueError, writes nothing."""
    _check_model(model)
    _check_preprocessing(size[0], mean, std, interpolation, crop_pct)
    traits = model.pretrained_cfg
    rebuilt = {key: value for key, value in arguments.items() if key not in NOT_ARCHITECTURE}
    fixed = bool(traits.get("fixed_input_size")) and not rebuilt.get("dynamic_img_size")
    # transformers rebuilds from model_args alone, without pretrained_cfg: nothing may be left to be inferred
    own = {"in_chans": size[0]} | ({"img_size": size[1]} if fixed else {})
    for key, value in own.items():
        if rebuilt.setdefault(key, value) not in (value, [value, value], (value, value)):
            raise ValueError(
                f"export.arguments.{key}={rebuilt[key]!r}: must be {value}, which is what the preprocessing delivers; "
                f"set {'channels' if key == 'in_chans' else 'image_size'} to agree"
            )
    for key, value in rebuilt.items():
        as_json(value, f"export.arguments.{key}")
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": int(model.num_features),
        "model_args": rebuilt,
        "pretrained_cfg": {
            "input_size": list(size),
            "fixed_input_size": fixed,
            "interpolation": interpolation,
            "crop_pct": float(crop_pct),
            "crop_mode": "center",
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "num_classes": 0,
            "pool_size": None,
            "first_conv": traits.get("first_conv"),
            "classifier": traits.get("classifier"),
        },
    }


def _check_model(model: nn.Module) -> None:
    if getattr(model, "num_classes", None) != 0 or not hasattr(model, "pretrained_cfg"):
        raise ValueError(
            f"export.model={type(model).__name__}: must be a plain timm model without a classifier; "
            "call model.reset_classifier(0), or export the encoder's own timm module"
        )
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ValueError(f"export.model: {name} is {tensor.dtype}, must be float32; call model.float() first")


def _check_preprocessing(channels: int, mean: Sequence[float], std: Sequence[float], interpolation: str, crop_pct: float) -> None:
    for key, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise ValueError(f"{key}={list(values)}: must have one number per channel; give {channels}, one for each")
    if min(std) <= 0:
        raise ValueError(f"std={list(std)}: must be above 0, images are divided by it; set std to 1 for a flat channel")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation={interpolation}: unknown to timm; set one of {', '.join(INTERPOLATIONS)}")
    if not 0 < crop_pct <= 1:
        raise ValueError(f"crop_pct={crop_pct}: must be above 0 and at most 1 (all of the shorter side); set crop_pct=1")


def as_json(value: Any, key: str) -> str:
    """``value`` as strict JSON. ValueError, naming ``key``, where it has none."""
    try:
        return json.dumps(value, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}={value!r}: must be plain JSON ({error}); give numbers, strings, lists, dicts") from error


def write_files(folder: Path, model: nn.Module, config: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Fill the existing ``folder``. The card is checked first and written last, because it holds the hashes."""
    as_json(dict(card), "export.card")
    weights = {  # clone: safetensors refuses tensors that share memory
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(as_json(config, "export.config"), encoding="utf-8")
    (folder / README).write_text(readme(config, card), encoding="utf-8")
    write_card(folder, card)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write ``ssl_patches.json``: ``card``, the versions it lacks, and the sha256 of every other file."""
    ours = {"python": platform.python_version(), "torch": torch.__version__, "timm": timm.__version__}
    versions = ours | {"safetensors": safetensors.__version__} | dict(card.get("versions", {}))
    others = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD)
    content = {**card, "versions": versions, "files": {path.name: sha256(path) for path in others}}
    (folder / CARD).write_text(as_json(content, "export.card"), encoding="utf-8")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(directory: Path) -> dict[str, Any]:
    """What ``ssl_patches.json`` says. ValueError when ``directory`` is not an export of ours."""
    path = Path(directory) / CARD
    if not path.is_file():
        raise ValueError(
            f"model={directory}: must be an export of ssl_patches and has no {CARD}; "
            "name the folder that `ssl-patches export` wrote"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def check_hashes(directory: Path, names: Iterable[str] | None = None) -> None:
    """ExportMismatch, naming the files, unless each (or each of ``names``) is byte for byte what was written."""
    directory, written = Path(directory), read_card(directory)["files"]
    wrong = []
    for name in written if names is None else names:
        if not (directory / name).is_file():
            wrong.append(f"{name} is missing")
        elif name not in written or sha256(directory / name) != written[name]:
            wrong.append(f"{name} has changed")
    if wrong:
        raise ExportMismatch(f"{directory}: {', '.join(wrong)} since the export was written; export again")


def load_timm_folder(directory: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model in eval mode, and its preprocessing (timm's pretrained_cfg). The files it reads are checked first."""
    directory = Path(directory)
    check_hashes(directory, LOADED)
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    return timm.create_model(f"local-dir:{directory}", pretrained=True).eval(), config["pretrained_cfg"]
