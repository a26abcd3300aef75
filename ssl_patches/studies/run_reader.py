"""Read run directories: which folders are runs, their state, summary, settings and budget used.

Everything is told from files: no process has to be asked, and none has to be there. Nothing is
written, and nothing of a run is executed. The trap: a folder of runs holds some that are running,
failed, half-written or copied by hand, so every reader says what it does with those.
"""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssl_patches import config
from ssl_patches.config import locks
from ssl_patches.config.baseline import is_supervised
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import read_json, read_text
from ssl_patches.config.run_dir import CELL, CONFIG, SUMMARY, TRIAL
from ssl_patches.config.summary import read_summary
from ssl_patches.evaluation.rows import TRAINED

ERROR = "error.txt"
"""File of a study in a run directory: the error that the run ended with."""
SEARCH = "search.json"
"""What a search has tried and chosen, in its folder below that of a study."""
NOT_PART_OF_A_RUN = ("run_dir", "resume", "overwrite")
"""Settings that say where a run lies, not what it is."""
Kind = Literal["finished", "running", "failed", "stopped", "crashed", "missing"]


@dataclass(frozen=True)
class State:
    """The state of a run. ``kind``: *failed* left an error, *stopped* was told to, *crashed* was
    killed, *missing* never began."""

    kind: Kind
    note: str = ""


@dataclass(frozen=True)
class Run:
    """A run directory as it is. ``settings``, ``summary``: empty where they cannot be read."""

    path: Path
    state: State
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    used: Mapping[str, float]  # images, FLOPs and seconds so far

    @property
    def metrics(self) -> dict[str, float]:
        """Map each metric of the trained encoder to its value."""
        rows = self.summary.get("results", [])
        return {
            row["metric"]: row["value"]
            for row in rows
            if row.get("model") == TRAINED
            and isinstance(row.get("metric"), str)
            and isinstance(row.get("value"), int | float)
        }


def run_folders(place: Path) -> Iterator[Path]:
    """Find the folders at or below ``place`` that are runs or were to become some, by path; hidden
    ones are left out."""
    for folder in sorted({file.parent for name in (CONFIG, ERROR) for file in place.rglob(name)}):
        if not any(part.startswith(".") for part in folder.relative_to(place).parts):
            yield folder


def read_run(directory: Path) -> Run:
    """Read one run; what cannot be read is empty, and the state says so."""
    try:
        return _read(directory)
    except (OSError, ValueError) as error:  # may not be read, or a lock of somebody else
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Run(directory, State("crashed", f"cannot be read ({reason})"), {}, {}, {})


def _read(directory: Path) -> Run:
    try:
        settings = config.load(directory / CONFIG)
    except BadRequest:
        settings = {}
    readable = {"data", "encoder", "seed"} <= settings.keys() and bool(
        {"task", "parts"} & settings.keys()
    )
    state = run_state(directory)
    if not readable and state.kind not in ("failed", "running"):
        state = State("crashed", f"{CONFIG} cannot be read")
    summary = summary_of(directory) or {}
    return Run(directory, state, settings if readable else {}, summary, used(directory))


def run_state(directory: Path) -> State:
    """Tell the state of a run or a trial."""
    if (directory / TRIAL).is_file() or summary_of(directory):
        return State("finished")
    if owner := locks.owner(directory):
        return State("running", str(owner))
    if (directory / ERROR).is_file():
        return State("failed", last_error(directory))
    if locks.left_behind(directory):
        return State("crashed")
    if not (directory / CONFIG).is_file():
        return State("missing")
    return State("stopped", _damage(directory))


def _damage(directory: Path) -> str:
    """Say what is wrong with the summary of a run that ended; "" where it has none yet."""
    if not (directory / SUMMARY).exists():
        return ""
    try:
        read_summary(directory)
    except ValueError as error:
        return str(error)
    return ""


def last_error(directory: Path) -> str:
    """Return the last line of the error that a run ended with; empty where it says nothing."""
    try:
        text = read_text(directory / ERROR, errors="replace")
    except (OSError, ValueError):
        return ""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def summary_of(directory: Path) -> dict[str, Any] | None:
    """Return the summary of a finished run; None where it is not finished or cannot be read."""
    try:
        found = read_summary(directory)
    except ValueError:
        return None
    return found if "results" in found else None


def used(directory: Path) -> Mapping[str, float]:
    """Return images, FLOPs and seconds so far: of the summary, or of the last whole row of
    metrics.csv."""
    if summary := summary_of(directory):
        used = summary.get("budget_used", {})
        return {key: each for key, each in used.items() if isinstance(each, int | float)}
    try:
        lines = read_text(directory / "metrics.csv", errors="replace").splitlines(keepends=True)
        rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))
        return {key: float(rows[-1][key]) for key in ("images", "flops", "seconds")} if rows else {}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):  # not there, or cut off
        return {}


def typed_command(
    directory: Path, summary: Mapping[str, Any], settings: Mapping[str, Any]
) -> str | None:
    """Return the ``ssl-patches pretrain ...`` that made a run, without where the run lies.

    The words were stored with the run, or by its study. None where they were not (older runs), and
    where no command makes it: the supervised baseline, a Dataset object of a Python program.
    """
    words = summary.get("words")
    if not words and (directory / CELL).is_file():
        with suppress(OSError, ValueError, AttributeError):
            words = read_json(directory / CELL).get("words")
    if not isinstance(words, list) or not words or is_supervised(settings):
        return None
    if any("ssl_patches.data.live." in str(word) for word in words):
        return None
    kept = [str(word) for word in words if str(word).partition("=")[0] not in NOT_PART_OF_A_RUN]
    return shlex.join(["ssl-patches", "pretrain", *kept])
