"""Runs as they lie on disk, read for comparison. Nothing here is written, and nothing of a run is
executed.

The trap: a folder of runs holds some that are running, failed, half-written or copied by hand. Each
of those is listed with its reason and skipped, so that one bad file never takes the table with it;
and a run that is reached by two names (``compare runs runs/a``) counts once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.run_dir import CONFIG, SUMMARY
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS

ERROR = "error.txt"
"""What a study leaves in the folder of a cell that failed."""
TRIAL = "trial.json"
"""What a trial of a study leaves: it chose a learning rate, at another budget, and is no result."""
FLOORS = (RANDOM_INIT, RAW_PIXELS)
ROW = {
    "model": str,
    "data": str,
    "metric": str,
    "value": float,
    "low": float,
    "high": float,
    "n": int,
}
SPENT = ("images", "flops", "seconds")


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run: ``summary.json`` and ``config.yaml``, judged."""

    path: Path
    task: str
    encoder: str
    seed: int
    data: str
    fingerprint: str  # of the data
    results: tuple[dict[str, Any], ...]  # rows: model, data, metric, value, low, high, n
    used: Mapping[str, float]  # images, flops, seconds, and what else the run counted
    images_per_second: float
    versions: Mapping[str, str]
    protocol: Any  # of the evaluation, where the run names one
    config: Mapping[str, Any]

    def value(self, model: str, metric: str) -> Mapping[str, Any] | None:
        """The row of ``model`` and ``metric``; None where the run has none."""
        return next(
            (row for row in self.results if row["model"] == model and row["metric"] == metric), None
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that is not in the table."""

    path: Path
    reason: str


def find_runs(places: Sequence[Path]) -> tuple[list[Run], list[LeftOut]]:
    """Finished runs at or below ``places``, by path, and the others with the reason. ValueError for
    a place that is none."""
    found: list[Run] = []
    left_out: list[LeftOut] = []
    for folder in _folders(places):
        try:
            found.append(read_run(folder))
        except ValueError as error:
            left_out.append(LeftOut(folder, str(error)))
    return found, left_out


def read_run(folder: Path) -> Run:
    """The run in ``folder``. ValueError that says in one line why there is none to be compared."""
    if (folder / ERROR).is_file() and not (folder / SUMMARY).is_file():
        lines = (folder / ERROR).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ValueError(f"failed: {lines[-1].strip()[:300]}" if lines else "failed")
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("not finished") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{SUMMARY} cannot be read ({type(error).__name__}: {error})") from None
    try:
        settings = config.load(folder / CONFIG)
    except BadRequest as error:
        raise ValueError(f"{CONFIG} cannot be read ({error})") from None
    return _judged(folder, summary, settings)


def _folders(places: Sequence[Path]) -> Iterator[Path]:
    """Every folder that is or was to become a run, once, by path; no hidden ones, no trials of a
    study."""
    seen: set[Path] = set()
    for place in places:
        if not place.is_dir():
            raise ValueError(
                f"compare {place}: no such folder; give a run_dir, or a folder that holds some"
            )
        holders = {file.parent for name in (CONFIG, ERROR) for file in place.rglob(name)}
        for folder in sorted(holders):
            hidden = any(part.startswith(".") for part in folder.relative_to(place).parts)
            if not hidden and not (folder / TRIAL).is_file() and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder


def _judged(folder: Path, summary: Any, settings: Mapping[str, Any]) -> Run:
    if not isinstance(summary, dict):
        raise ValueError(f"{SUMMARY} cannot be read (must hold one JSON object)")
    used = _needed(summary, "budget_used", dict)
    speed = _needed(summary, "images_per_second", float)
    return Run(
        path=folder,
        task=_needed(summary, "task", str),
        encoder=_needed(summary, "encoder", str),
        seed=int(_needed({"seed": settings.get("seed"), **summary}, "seed", int)),
        data=_needed(summary, "data", str),
        fingerprint=_needed(summary, "data_fingerprint", str),
        results=tuple(_row(row) for row in _needed(summary, "results", list)),
        used={**used, **{key: _needed(used, key, float) for key in SPENT}},
        images_per_second=speed,
        versions=summary.get("versions") or {},
        protocol=summary.get("protocol"),
        config=settings,
    )


def _row(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{SUMMARY} cannot be read (results must be a list of rows)")
    return {**row, **{key: _needed(row, key, kind) for key, kind in ROW.items()}}


def _needed(found: Mapping[str, Any], key: str, kind: type) -> Any:
    """``found[key]``, of that kind; a number must be finite. ValueError otherwise."""
    value = found.get(key)
    numeric = kind in (int, float)
    if not isinstance(value, (int, float) if numeric else kind) or isinstance(value, bool):
        raise ValueError(
            f"{SUMMARY} cannot be read ({key}: must be {kind.__name__}, is {value!r:.80})"
        )
    if numeric and not math.isfinite(value):
        raise ValueError(f"{SUMMARY} cannot be read ({key}: is {value}, not a number)")
    return value
