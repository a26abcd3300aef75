"""Compose and check what ``evaluate`` and ``embed`` were asked for; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.schema import EMBED, EVALUATE, LOADER, SUPPLIED


def evaluate_request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> dict[str, Any]:
    """Return the checked settings of ``evaluate``. BadRequest with all that is wrong."""
    return _checked("evaluate", EVALUATE, words, config_dirs)


def embed_request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> dict[str, Any]:
    """Return the checked settings of ``embed``. BadRequest with all that is wrong."""
    return _checked("embed", EMBED, words, config_dirs)


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
