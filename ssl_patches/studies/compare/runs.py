"""Read finished runs for a comparison, every value checked.

A run that is running, failed, half-written or damaged is listed with its reason and left out, so
that one bad file never takes the table with it. A run that is reached by two names (``compare runs
runs/a``) counts once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import CONFIG, LABELS, SUMMARY, TRIAL
from ssl_patches.config.summary import read_summary
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS
from ssl_patches.studies.run_reader import (
    ERROR,
    last_error,
    run_folders,
    typed_command,
)

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
class FinishedRun:
    """One finished run: what ``summary.json`` and ``config.yaml`` say, checked."""

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
    command: str | None = None  # that made it, where it is known
    former_fingerprint: str = ""  # of the data, by the rule of names and sizes alone
    labels: str = ""  # hash of them; "" where a run does not say

    def value(self, model: str, metric: str) -> Mapping[str, Any] | None:
        """Return the row of ``model`` and ``metric``; None where the run has none."""
        return next(
            (row for row in self.results if row["model"] == model and row["metric"] == metric), None
        )


@dataclass(frozen=True, slots=True)
class OmittedRun:
    """A run that is not in the table."""

    path: Path
    reason: str


def find_runs(places: Sequence[Path]) -> tuple[list[FinishedRun], list[OmittedRun]]:
    """Find the finished runs at or below ``places``, by path, and the others with the reason.
    ValueError for a place that is no folder."""
    found: list[FinishedRun] = []
    left_out: list[OmittedRun] = []
    for folder in _folders(places):
        try:
            found.append(read_finished(folder))
        except (ValueError, OSError) as error:  # half of a run, or one that may not be read
            left_out.append(OmittedRun(folder, str(error)))
    return _known_again(found), left_out


def _known_again(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Give runs of before the fingerprint that the same images have in runs of now; compare labels
    only where all say which they had."""
    now = {run.former_fingerprint: run.fingerprint for run in runs if run.former_fingerprint}
    all_say = all(run.labels for run in runs)
    return [
        replace(
            run,
            fingerprint=now.get(run.fingerprint, run.fingerprint),
            labels=run.labels if all_say else "",
        )
        for run in runs
    ]


def read_finished(folder: Path) -> FinishedRun:
    """Read the run in ``folder``. ValueError that says in one line why it cannot be compared."""
    if (folder / ERROR).is_file() and not (folder / SUMMARY).is_file():
        said = last_error(folder)
        raise ValueError(f"failed: {said[:300]}" if said else "failed")
    summary = read_summary(folder)
    try:
        settings = config.load(folder / CONFIG)
    except BadRequest as error:
        raise ValueError(f"{CONFIG} cannot be read ({error})") from None
    return _judged(folder, summary, settings)


def _folders(places: Sequence[Path]) -> Iterator[Path]:
    """Every folder that is or was to become a run, once, by path; no trials of a study."""
    seen: set[Path] = set()
    for place in places:
        if not place.is_dir():
            raise ValueError(
                f"compare {place}: no such folder; give a run_dir, or a folder that holds some"
            )
        for folder in run_folders(place):
            if not (folder / TRIAL).is_file() and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder


def _judged(folder: Path, summary: Mapping[str, Any], settings: Mapping[str, Any]) -> FinishedRun:
    used = _needed(summary, "budget_used", dict)
    speed = _needed(summary, "images_per_second", float)
    return FinishedRun(
        path=folder,
        task=_needed(summary, "task", str),
        encoder=_needed(summary, "encoder", str),
        seed=int(_needed({"seed": settings.get("seed"), **summary}, "seed", int)),
        data=_needed(summary, "data", str),
        fingerprint=_needed(summary, "data_fingerprint", str),
        results=(
            *(_row(row) for row in _needed(summary, "results", list)),
            *_rows_of_labels(folder),
        ),
        used={**used, **{key: _needed(used, key, float) for key in SPENT}},
        images_per_second=speed,
        versions=summary.get("versions") or {},
        protocol=summary.get("protocol"),
        config=settings,
        command=typed_command(folder, summary, settings),
        former_fingerprint=str(summary.get("former_fingerprint") or ""),
        labels=str(summary.get("labels_fingerprint") or ""),
    )


def _rows_of_labels(folder: Path) -> list[dict[str, Any]]:
    """Read the rows over the number of labels, of the run and its rivals; none where that is
    damaged, for they can be had again."""
    try:
        return [_row(row) for row in read_json(folder / LABELS)["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _row(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{SUMMARY} cannot be read (results must be a list of rows)")
    return {**row, **{key: _needed(row, key, kind) for key, kind in ROW.items()}}


def _needed(found: Mapping[str, Any], key: str, kind: type) -> Any:
    """``found[key]``, of that kind; a number must be finite. ValueError otherwise."""
    value = found.get(key)
    numeric = kind in (int, float)
    kinds = (int, float) if numeric else (kind,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(
            f"{SUMMARY} cannot be read ({key}: must be {kind.__name__}, is {value!r:.80})"
        )
    if isinstance(value, int | float) and not math.isfinite(value):
        raise ValueError(f"{SUMMARY} cannot be read ({key}: is {value}, not a number)")
    return value
