"""The card, ``ssl_patches.json``: what an export is, where it comes from, how it was proven, and the sha256 of each file.

It is written last, so that a folder with a card is whole. The hashes find damage and mix-ups; whoever can change a file
can change its hash too, so they are no signature.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import timm
import torch

from ssl_patches.wording import Failed

CARD, README = "ssl_patches.json", "README.md"


class ExportMismatch(Failed):
    """An export is not what was trained, or not what was written."""


def as_json(value: Any, key: str) -> str:
    """``value`` as strict JSON. ValueError, naming ``key``, where it has none."""
    try:
        return json.dumps(value, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}={value!r}: must be plain JSON ({error}); give numbers, strings, lists, dicts") from error


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
    """What ``ssl_patches.json`` says. ValueError when ``directory`` is not an export of ours; ExportMismatch: damaged."""
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
        raise ExportMismatch(f"{directory}: {CARD} is damaged, it is no JSON with the hashes of the files; export again")
    return card


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
