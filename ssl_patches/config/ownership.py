"""Tell what a run directory holds that no run wrote: only what this program made is ever deleted.

A folder is taken for a run where its ``config.yaml`` is one (many programs have a file of that
name, and a ``checkpoints/last.ckpt``), and is deleted as a whole where nothing lies in it, or in
the folders of a run, that a run does not write. Otherwise the first strange name is told, and
nothing is touched.
"""

from __future__ import annotations

import fnmatch
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import LARGEST_TEXT, read_json
from ssl_patches.config.pictures import has_mark
from ssl_patches.config.saved import load

WRITTEN = (
    *("config.yaml", "settings.yaml", "summary.json", "cell.json", "trial.json", "error.txt"),
    *("metrics.csv", "health.csv", "probes.csv", "alarms.json", "evaluation.npz", "unreadable.csv"),
    *("label_efficiency.json", "rungs.json"),
    *("checkpoints", "encoder", "figures", "tensorboard", "wandb", "mlruns"),
    "nonfinite*",
    *(".*.half", ".encoder.*.tmp"),
)
"""Names of what a run writes into its directory."""
STEP = re.compile(r"step-(\d+)\.ckpt")
EXPORTED = (
    *("README.md", "config.json", "model.safetensors", "reference.npz", "ssl_patches.json"),
    *("encoder.onnx", "encoder.pt2"),
)
"""Names of what an export writes."""
FIGURES = re.compile(
    r"(agree|subsets|jigsaw|relative|masked|position|relation|supervised|health|neighbours|patches"
    r"|segmentation|label_efficiency)\.png"
)
"""Names of the figures of runs from before figures had a mark."""
LEFT = (".*.half", ".encoder.*.tmp")
"""Names of what a run that was killed may leave behind."""
INSIDE: dict[str, Callable[[Path], bool]] = {
    "checkpoints": lambda place: place.name == "last.ckpt" or bool(STEP.fullmatch(place.name)),
    "encoder": lambda place: place.name in EXPORTED,
    "figures": lambda place: bool(FIGURES.fullmatch(place.name)) or has_mark(place),
}
"""What tells that a run wrote what lies in a folder of it. Folders of loggers are the loggers'."""
SETTINGS = {"seed", "image_size", "budget", "data", "encoder"}
"""Keys that the ``config.yaml`` of every run has."""


def strange(directory: Path) -> list[str]:
    """Return what lies in ``directory`` and in the folders of a run, and no run wrote, sorted."""
    found = [place for place in directory.iterdir() if not _fits(place.name, WRITTEN)]
    for name, ours in INSIDE.items():
        if (folder := directory / name).is_dir():
            held = [place for place in folder.iterdir() if not _fits(place.name, LEFT)]
            found += [place for place in held if not ours(place)]
    return sorted(str(place.relative_to(directory)) for place in found)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


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
    return _may_be_ours(directory / "checkpoints" / "last.ckpt")


def _may_be_ours(checkpoint: Path) -> bool:
    """Tell whether a checkpoint is one of ours, or damaged; Lightning's have the same name."""
    try:
        with zipfile.ZipFile(checkpoint) as file:
            parts = [part for part in file.infolist() if part.filename.endswith("/data.pkl")]
            return not parts or (
                parts[0].file_size <= LARGEST_TEXT and b"data_fingerprint" in file.read(parts[0])
            )
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError):
        return True
    except OSError:
        return False


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
