"""Write the card, ``ssl_patches.json``: what an export is, its origin, how it was proven, the
sha256 of each file.

It is written last, so that a folder with a card is whole. The hashes find damage and mix-ups;
whoever can change a file can change its hash too, so they are no signature.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import timm
import torch

from ssl_patches.encoders.exported import CARD, as_json, sha256


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write ``ssl_patches.json``: the card, the versions, and the sha256 of every other file."""
    ours = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
    versions = ours | {"safetensors": safetensors.__version__} | dict(card.get("versions", {}))
    others = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD)
    content = {**card, "versions": versions, "files": {path.name: sha256(path) for path in others}}
    (folder / CARD).write_text(as_json(content, "export.card"), encoding="utf-8")
