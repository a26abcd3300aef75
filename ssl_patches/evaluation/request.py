"""Compose and check what ``evaluate``, ``embed``, ``duplicates`` were asked for; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.schema import DUPLICATES, EMBED, EVALUATE, LOADER, SUPPLIED


def evaluate_request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> dict[str, Any]:
    """Return the checked settings of ``evaluate``. BadRequest with all that is wrong."""
    return _checked("evaluate", EVALUATE, words, config_dirs)


def embed_request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> dict[str, Any]:
    """Return the checked settings of ``embed``. BadRequest with all that is wrong."""
    return _checked("embed", EMBED, words, config_dirs)


def duplicates_request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> dict[str, Any]:
    """Return the checked settings of ``duplicates``. ValueError with all that is wrong."""
    cfg = _checked("duplicates", DUPLICATES, of_folder(words), config_dirs)
    splits = cfg["splits"]
    rules = {
        "similarity": (0 < cfg["similarity"] <= 1, "above 0, at most 1", "0.6"),
        "neighbours": (1 <= cfg["neighbours"] <= 1000, "1 to 1000", "20"),
        "outlier": (0 < cfg["outlier"] < float("inf"), "above 0", "4"),
        "batch_size": (cfg["batch_size"] >= 1, "at least 1", "256"),
    }
    wrong = [
        f"{key}={cfg[key]}: must be {rule}; set {key}={good}"
        for key, (holds, rule, good) in rules.items()
        if not holds
    ]
    if not splits or len(set(splits)) < len(splits):
        wrong.append(f"splits={splits}: must name each split once; set splits=[train,val]")
    if wrong:
        raise BadRequest(wrong)
    return cfg


def of_folder(words: Sequence[str]) -> list[str]:
    """Return the words with ``data=folder`` where only ``data.root=`` says which images."""
    named = any(word.startswith("data=") for word in words)
    rooted = any(word.startswith("data.root=") for word in words)
    return ["data=folder", *words] if rooted and not named else list(words)


def _checked(
    command: str, schema: Mapping[str, Any], words: Sequence[str], config_dirs: Sequence[Path]
) -> dict[str, Any]:
    words, _ = config.without_data_keys(words)  # they change the data of the run, see command.py
    data = {"data": LOADER} if any(word.startswith("data=") for word in words) else {}
    return config.request(
        command,
        words,
        config_dirs=config_dirs,
        supplied={"data": SUPPLIED["data"]},
        schema={**schema, **data},
    )
