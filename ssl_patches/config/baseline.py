"""Name the baseline with labels in settings: it stands in the place of a task, and is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_patches.config.mixture import OWN

WORD = "task=supervised"
"""What stands among the overrides of a cell; it is no choice of conf/task."""
TARGET = "ssl_patches.training.supervised.Supervised"


def is_supervised(cfg: Mapping[str, Any]) -> bool:
    """Say whether a configuration asks for the baseline in place of a task."""
    return cfg.get("task", {}).get("_target_") == TARGET


def instead_of_task(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Put the baseline in place of the task, its sampler, and observers of held-out images."""
    kept = {key: value for key, value in cfg.items() if key not in (*OWN, "parts")}
    if "encoder" in kept:  # random weights, of which there are no statistics to keep
        kept["encoder"] = {k: v for k, v in kept["encoder"].items() if k != "fixed_statistics"}
    return {**kept, "task": {"_target_": TARGET}, "callbacks": {}}
