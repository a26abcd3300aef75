"""Compose and check what ``pretrain`` was asked for, and choose what was not typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_patches import config
from ssl_patches.config import mixture
from ssl_patches.config.plain_text import in_lines
from ssl_patches.config.run_dir import CONFIG
from ssl_patches.config.schema import PRETRAIN, SUPPLIED, channels_of
from ssl_patches.training.short_run import fewer_evaluated

if TYPE_CHECKING:  # opens images, which most requests do not need
    from ssl_patches.data.advice import Choice, Facts

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
    looked = images_of(cfg)
    facts = looked.facts() if looked else None
    choices = choices_for(facts, words)
    if choices and cfg["resume"] and cfg["run_dir"] and _begun_with(cfg, Path(cfg["run_dir"])):
        choices = []
    if facts:
        advised = _checked(_with(choices, words), config_dirs)
        choices += fewer_evaluated(advised, facts.images, given=_given(words))
    if not choices:
        return cfg, ""
    from ssl_patches.data.advice import lines_of

    advised = _checked(_with(choices, words), config_dirs)
    said = ["chosen for these images (type KEY=VALUE for another):", *lines_of(choices)]
    return advised, in_lines(said)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of images that choices follow from, as a run would read it."""

    root: str
    channels: int
    split_folders: bool | None

    def facts(self) -> Facts | None:
        """Look at the images; None where there are no readable ones."""
        from ssl_patches.data.advice import facts_of

        return facts_of(self.root, channels=self.channels, split_folders=self.split_folders)


def images_of(cfg: Mapping[str, Any]) -> Folder | None:
    """Return the folder of a run's images; None where they come from elsewhere."""
    data = cfg["data"]
    if data.get("_target_") != FOLDER:
        return None
    return Folder(data["root"], channels_of(cfg), data.get("split_folders"))


def choices_for(facts: Facts | None, words: Sequence[str]) -> list[Choice]:
    """Choose for such images what ``words`` leave open; nothing where there are no images."""
    from ssl_patches.data.advice import choose

    return choose(facts, given=_given(words)) if facts else []


def _begun_with(cfg: Mapping[str, Any], run_dir: Path) -> bool:
    """Tell whether the run in ``run_dir`` has what choices decide as ``cfg`` has it."""
    if not (run_dir / CONFIG).is_file():
        return False
    begun = config.load(run_dir / CONFIG)
    batch = begun["data"].get("batch_size") == cfg["data"].get("batch_size")
    return batch and all(begun.get(key) == cfg.get(key) for key in CHOSEN)


def _with(choices: Sequence[Choice], words: Sequence[str]) -> list[str]:
    return [*(choice.word for choice in choices), *words]


def _checked(words: Sequence[str], config_dirs: Sequence[Path]) -> dict[str, Any]:
    return mixture.request(words, config_dirs=config_dirs, supplied=SUPPLIED, schema=PRETRAIN)


def _given(words: Sequence[str]) -> dict[str, str]:
    parts = [word.partition("=") for word in words]
    return {key.lstrip("+~"): value for key, _, value in parts}
