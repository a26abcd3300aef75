"""Let Hydra compose, once for the same words and files, and set values on what it gave.

A study composes for each of its runs, mostly of the same words, and each time Hydra reads and
parses some twenty files. Values change nothing of which files are read, so they are set afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ssl_patches.config import files as conf_files
from ssl_patches.config.hydra_paths import hydra_in


def composed(command: str, folders: Sequence[Path], overrides: Sequence[str]) -> Any:
    """Return what Hydra composes with YAML of ``folders``; read-only. Raises as Hydra does.

    Of the same words and files it is what it was before.
    """
    words = command, tuple(folders), tuple(overrides)
    if folders[0] != conf_files.conf_dir():  # the user's own, with any number of files
        return _compose(*words)
    return _compose_once(*words, state_of(folders))


def with_values(tree: Any, values: Sequence[str]) -> Any:
    """Return a copy of a composed tree with ``KEY=VALUE`` or ``++KEY=VALUE`` set, as Hydra does.

    ValueError for other kinds of override (``+KEY``, ``~KEY``); raises as Hydra and OmegaConf do
    for what is not understood and for unknown keys.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    found = copy.deepcopy(tree)
    OmegaConf.set_readonly(found, None)
    for each in OverridesParser.create().parse_overrides(list(values)):
        if each.is_add() or each.is_delete() or each.is_sweep_override() or each.package:
            raise ValueError(each.input_line)
        OmegaConf.update(
            found, each.key_or_group, each.value(), merge=True, force_add=each.is_force_add()
        )
    return found


def state_of(folders: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return path, time of change and size of each YAML file, sorted."""
    files = sorted(file for folder in folders for file in folder.rglob("*.yaml"))
    return tuple((str(file), (s := file.stat()).st_mtime_ns, s.st_size) for file in files)


def _compose(command: str, folders: Sequence[Path], overrides: Sequence[str]) -> Any:
    from hydra import compose
    from omegaconf import OmegaConf

    with hydra_in(folders, conf_files.conf_dir()):
        found = compose(command, list(overrides))
    OmegaConf.set_readonly(found, True)
    return found


@lru_cache(maxsize=64)
def _compose_once(
    command: str, folders: Sequence[Path], overrides: Sequence[str], state: Sequence[Any]
) -> Any:
    return _compose(command, folders, overrides)
