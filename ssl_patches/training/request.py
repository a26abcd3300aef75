"""Compose and check what ``pretrain`` was asked for, and choose what was not typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED, channels_of

FOLDER = "ssl_patches.data.FolderSource"
"""The source whose images are looked at; others are taken as they come."""


def request(words: Sequence[str], *, config_dirs: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """Return the checked settings of a run, and what was chosen for its images, in lines ("" where
    nothing was).

    ``words``: KEY=VALUE as typed. BadRequest with all that is wrong, before any image is looked at.
    """
    cfg = _checked(words, config_dirs)
    if cfg["data"].get("_target_") != FOLDER:
        return cfg, ""
    from ssl_patches.data.advice import choose, facts_of, lines_of

    facts = facts_of(cfg["data"]["root"], channels=channels_of(cfg))
    choices = choose(facts, given=[_key(word) for word in words]) if facts else []
    if not choices:
        return cfg, ""
    cfg = _checked([*(choice.word for choice in choices), *words], config_dirs)
    said = ["chosen for these images (type KEY=VALUE for another):", *lines_of(choices)]
    return cfg, "\n".join(said)


def _checked(words: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    return mixture.request(words, config_dirs=config_dirs, supplied=SUPPLIED, schema=PRETRAIN)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
