"""Find classes by the paths that they had before, as users' YAML, saved runs and checkpoints still
name them.

The package was rearranged once: a ``_target_`` of before the move means the class at its new place.
Keys of studies are hashes of configurations, so they are computed with the former names: what was
run before the move stays finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

RENAMED = {
    "ssl_patches.optim": "ssl_patches.training.optim",
    "ssl_patches.trainer": "ssl_patches.training.settings",
    "ssl_patches.colour": "ssl_patches.sampler",
    "ssl_patches.callbacks": "ssl_patches.training.callbacks",
    "ssl_patches.loggers": "ssl_patches.training.loggers",
    "ssl_patches.studies.supervised": "ssl_patches.training.supervised",
}
"""Former module -> module of today."""
FORMER = {
    **{today: former for former, today in RENAMED.items() if today != "ssl_patches.sampler"},
    "ssl_patches.sampler.ColourTreatment": "ssl_patches.colour.ColourTreatment",
}


def current(path: str) -> str:
    """Return the dotted path of today for one of before the move; any other comes back as it is."""
    return _replaced(path, RENAMED)


def with_current_names(tree: Any) -> Any:
    """Return a copy of a configuration whose ``_target_``s are the paths of today."""
    return _each_target(tree, current)


def with_former_names(tree: Any) -> Any:
    """Return a copy of a configuration whose ``_target_``s are the paths of before the move.

    Keys of studies are computed with those.
    """
    return _each_target(tree, lambda path: _replaced(path, FORMER))


def _replaced(path: str, table: Mapping[str, str]) -> str:
    for known, other in table.items():
        if path == known or path.startswith(f"{known}."):
            return other + path.removeprefix(known)
    return path


def _each_target(tree: Any, change: Callable[[str], str]) -> Any:
    if isinstance(tree, Mapping):
        return {
            key: (
                change(value)
                if key == "_target_" and isinstance(value, str)
                else _each_target(value, change)
            )
            for key, value in tree.items()
        }
    return (
        [_each_target(value, change) for value in tree] if isinstance(tree, list | tuple) else tree
    )
