"""Write a folder that timm loads by itself: weights, how to rebuild the network, how to prepare
images.

``timm.create_model("local-dir:DIR", pretrained=True)`` is all that a user needs; ssl_patches is
not.

Traps: timm falls silently back to what an architecture has by default when ``model_args`` lack an
argument that leaves the weights' shapes alone (``output_stride``, ``global_pool``): a proof must
compare outputs, see ``proof.py``. transformers passes ``num_classes`` itself and refuses a second
one in ``model_args``. timm writes ImageNet's preprocessing unless told ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ssl_patches.encoders.exported import (
    CARD,
    CONFIG,
    WEIGHTS,
    ExportMismatch,
    as_json,
    load_timm_folder,
    read_card,
)
from ssl_patches.export.exportable import Exportable
from ssl_patches.export.rounding import rounded

__all__ = [
    "CARD",
    "CONFIG",
    "WEIGHTS",
    "ExportMismatch",
    "load_timm_folder",
    "read_card",
    "timm_config",
    "write",
]
NOT_ARCHITECTURE = {"num_classes", "pretrained", "checkpoint_path"}


def write(folder: Path, exportable: Exportable, *, precision: str) -> None:
    """Write ``config.json`` and ``model.safetensors`` into the existing ``folder``."""
    config = timm_config(exportable)
    state = exportable.model.state_dict()
    # clone: safetensors refuses tensors that share memory
    weights = {
        name: rounded(tensor.detach().cpu(), precision).contiguous().clone()
        for name, tensor in state.items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(as_json(config, "export.config"), encoding="utf-8")
    # safetensors makes files that nobody else may read
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode & 0o777)


def timm_config(exportable: Exportable) -> dict[str, Any]:
    """Return the content of ``config.json``.

    ValueError where the arguments do not agree with the images that are prepared.
    """
    traits, images = exportable.model.pretrained_cfg, exportable.preprocessing
    rebuilt = {
        key: value for key, value in exportable.rebuilt.items() if key not in NOT_ARCHITECTURE
    }
    # transformers rebuilds from model_args alone, without pretrained_cfg: nothing may be left to be
    # inferred
    own = {"in_chans": images.channels} | (
        {"img_size": images.image_size} if traits.get("fixed_input_size") else {}
    )
    for key, value in own.items():
        if rebuilt.setdefault(key, value) not in (value, [value, value], (value, value)):
            raise ValueError(
                f"export.arguments.{key}={rebuilt[key]!r}: must be {value}, which is what the"
                f" preprocessing delivers; set {'channels' if key == 'in_chans' else 'image_size'}"
                " to agree"
            )
    for key, value in rebuilt.items():
        as_json(value, f"export.arguments.{key}")
    return {
        "architecture": exportable.architecture,
        "num_classes": 0,
        "num_features": int(exportable.model.num_features),
        "model_args": rebuilt,
        "pretrained_cfg": {
            "input_size": [images.channels, images.image_size, images.image_size],
            "fixed_input_size": not exportable.any_size,
            "interpolation": images.interpolation,
            "crop_pct": float(images.crop_pct),
            "crop_mode": "center",
            "mean": [float(value) for value in images.mean],
            "std": [float(value) for value in images.std],
            "num_classes": 0,
            "pool_size": None,
            "first_conv": traits.get("first_conv"),
            "classifier": traits.get("classifier"),
        },
    }
