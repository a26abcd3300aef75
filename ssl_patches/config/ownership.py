"""Tell what a run directory holds that no run wrote: only what this program made is ever deleted.

A folder is taken for a run where its ``config.yaml`` is one (many programs have a file of that
name), and is deleted as a whole where nothing lies in it that a run does not write. Otherwise the
first strange name is told, and nothing is touched.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import read_json
from ssl_patches.config.saved import load

WRITTEN = (
    *("config.yaml", "settings.yaml", "summary.json", "cell.json", "trial.json", "error.txt"),
    *("metrics.csv", "health.csv", "probes.csv", "alarms.json", "evaluation.npz", "unreadable.csv"),
    *("label_efficiency.json", "rungs.json"),
    *("checkpoints", "encoder", "figures", "tensorboard", "wandb", "nonfinite*"),
    *(".*.half", ".encoder.*.tmp"),
)
"""Names of what a run writes into its directory."""
LEFT = (".*.half", ".encoder.*.tmp")
"""Names of what a run that was killed may leave behind."""
SETTINGS = {"seed", "image_size", "budget", "data", "encoder"}
"""Keys that the ``config.yaml`` of every run has."""


def strange(directory: Path, written: tuple[str, ...] = WRITTEN) -> list[str]:
    """Return the names in ``directory`` that fit none of the patterns ``written``, sorted."""
    return sorted(
        place.name
        for place in directory.iterdir()
        if not any(fnmatch.fnmatchcase(place.name, pattern) for pattern in written)
    )


def is_run(directory: Path) -> bool:
    """Tell whether a run wrote ``directory``: by its settings, its study, or its checkpoint."""
    try:
        if load(directory / "config.yaml").keys() >= SETTINGS:
            return True
    except BadRequest:  # not there, or half of it
        pass
    try:
        about = read_json(directory / "cell.json")
        if isinstance(about, dict) and {"study", "key"} <= about.keys():
            return True
    except (OSError, ValueError):
        pass
    return (directory / "checkpoints" / "last.ckpt").is_file()


def refuse_what_no_run_wrote(directory: Path, request: str) -> None:
    """Raise ValueError, beginning with ``request``, unless a run wrote all of ``directory``."""
    if directory.is_symlink() or not is_run(directory):
        raise ValueError(
            f"{request}: {directory} is not a run of ssl-patches, and only those are deleted; set"
            " another run_dir"
        )
    if others := strange(directory):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ValueError(
            f"{request}: {directory} holds {others[0]}{more}, which no run wrote; move it"
            " elsewhere, or set another run_dir"
        )
