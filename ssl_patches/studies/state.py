"""How far a run has come, told from its files alone: no process has to be asked, and none has to be
there."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssl_patches.config import locks
from ssl_patches.config.run_dir import CONFIG, SUMMARY
from ssl_patches.studies import tuning

CELL, ERROR = "cell.json", "error.txt"
Kind = Literal["finished", "running", "failed", "stopped", "crashed", "missing"]


@dataclass(frozen=True)
class State:
    """``kind``: *failed* left an error, *stopped* was told to, *crashed* was killed, *missing*
    never began."""

    kind: Kind
    note: str = ""


def state_of(directory: Path) -> State:
    """The state of a run, a cell or a trial."""
    if (directory / tuning.RESULT).is_file() or summary_of(directory):
        return State("finished")
    if owner := locks.owner(directory):
        return State("running", str(owner))
    if (directory / ERROR).is_file():
        lines = (directory / ERROR).read_text(encoding="utf-8").splitlines()
        return State("failed", lines[-1] if lines else "")
    if locks.left_behind(directory):
        return State("crashed")
    return State("stopped" if (directory / CONFIG).is_file() else "missing")


def summary_of(directory: Path) -> dict[str, Any] | None:
    """What a finished run says of itself; None where it is not finished, or its summary cannot be
    read."""
    try:
        found = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) and "results" in found else None


def used(directory: Path) -> Mapping[str, float]:
    """Images, FLOPs and seconds so far: of the summary, or of the last whole row of metrics.csv."""
    if summary := summary_of(directory):
        return summary["budget_used"]
    try:
        lines = (directory / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))
    return {key: float(rows[-1][key]) for key in ("images", "flops", "seconds")} if rows else {}
