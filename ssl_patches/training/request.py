"""Compose and check what ``pretrain`` was asked for, and choose what was not typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config import mixture
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.config.schema import PRETRAIN, SUPPLIED, channels_of

FOLDER = "ssl_patches.data.FolderSource"
"""The source whose images are looked at; others are taken as they come."""
CHOSEN = ("image_size", "task", "sampler", "views", "encoder", "optimizer")
"""Groups that a choice may set, beside the batch."""


def request_run(words: Sequence[str], *, config_dirs: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """Return the checked settings of a run, and what was chosen for its images, in lines ("" where
    nothing was).

    ``words``: KEY=VALUE as typed. A run that is resumed keeps what it was begun with, chosen or
    not. BadRequest with all that is wrong, before any image is looked at.
    """
    cfg = _checked(words, config_dirs)
    if cfg["data"].get("_target_") != FOLDER:
        return cfg, ""
    from ssl_patches.data.advice import choose, facts_of, lines_of

    data = cfg["data"]
    facts = facts_of(
        data["root"], channels=channels_of(cfg), split_folders=data.get("split_folders")
    )
    choices = choose(facts, given=_given(words)) if facts else []
    if not choices:
        return cfg, ""
    advised = _checked([*(choice.word for choice in choices), *words], config_dirs)
    if cfg["resume"] and cfg["run_dir"] and _begun_with(cfg, Path(cfg["run_dir"])):
        return cfg, ""
    said = ["chosen for these images (type KEY=VALUE for another):", *lines_of(choices)]
    return advised, "\n".join(said)


def _begun_with(cfg: Mapping[str, Any], run_dir: Path) -> bool:
    """Tell whether the run in ``run_dir`` has what choices decide as ``cfg`` has it."""
    if not (run_dir / CONFIG).is_file():
        return False
    begun = config.load(run_dir / CONFIG)
    batch = begun["data"].get("batch_size") == cfg["data"].get("batch_size")
    return batch and all(begun.get(key) == cfg.get(key) for key in CHOSEN)


def _checked(words: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    return mixture.request(words, config_dirs=config_dirs, supplied=SUPPLIED, schema=PRETRAIN)


def _given(words: Sequence[str]) -> dict[str, str]:
    parts = [word.partition("=") for word in words]
    return {key.lstrip("+~"): value for key, _, value in parts}
