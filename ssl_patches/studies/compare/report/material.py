"""Collect what the page shows besides results: curves, the health of a run, single images, figures.
All of it may be missing.

Files of a run are read as they are: a row that is half-written is dropped, a file that cannot be
read counts as absent. The page must stay small, so curves are thinned to ``POINTS`` rows per run
and figures are scaled down, and when the figures of a comparison exceed ``FIGURE_BYTES`` the rest
is named and not embedded.
"""

from __future__ import annotations

import base64
import csv
import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_patches.config.outside import parse_json, read_json, read_text
from ssl_patches.data.damage import DAMAGE
from ssl_patches.data.opening import open_image
from ssl_patches.evaluation.rows import TRAINED
from ssl_patches.studies.compare.entries import Entry
from ssl_patches.studies.compare.runs import FinishedRun
from ssl_patches.studies.run_reader import SEARCH

POINTS = 60
CURVE_POINTS = 6000  # of all runs together
FIGURE_WIDTH, FIGURE_BYTES = 1000, 2_000_000
ANSWERS = "answers."  # in evaluation.npz, before the name of a probe
COUNTERS = (
    "step",
    "images",
    "flops",
    "seconds",
    "lr",
    "images_per_second",
    "data_wait",
    "check_seconds",
)
"""Columns of metrics.csv and health.csv that are no measurement of the encoder or of its task."""


@dataclass(frozen=True, slots=True)
class Figure:
    """``source``: a data URI; None when there was no room left for it."""

    title: str
    path: str
    source: str | None


def table_of(path: Path) -> list[dict[str, float]]:
    """Read a CSV of numbers; what is no finite number is left out."""
    if not path.is_file():
        return []
    lines = read_text(path, errors="replace").splitlines()
    return [row for found in csv.DictReader(lines) if (row := dict(_numbers(found)))]


def _numbers(row: dict[str, str | None]) -> Iterator[tuple[str, float]]:
    for key, text in row.items():
        try:
            value = float(text or "")
        except ValueError:
            continue
        if key and math.isfinite(value):
            yield key, value


def curve_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return rows (entry, seed, measure, images, TFLOP, seconds, value) from the metrics.csv of
    every run."""
    count = sum(len(entry.runs) for entry in entries)
    points = max(10, min(POINTS, CURVE_POINTS // max(1, count)))
    found: list[dict[str, object]] = []
    for entry in entries:
        for run in entry.runs:
            rows = table_of(run.path / "metrics.csv")
            for at in sorted(
                {round(place) for place in np.linspace(0, len(rows) - 1, min(points, len(rows)))}
            ):
                row = rows[at]
                spent = {
                    "images": row.get("images"),
                    "TFLOP": row.get("flops", 0) / 1e12,
                    "seconds": row.get("seconds"),
                }
                for measure in (key for key in row if key not in COUNTERS):
                    value = float(f"{row[measure]:.5g}")
                    found.append(
                        {
                            "entry": entry.name,
                            "seed": run.seed,
                            "measure": measure,
                            **spent,
                            "value": value,
                        }
                    )
    return found


def label_free(run: FinishedRun) -> dict[str, float]:
    """Return the last value of everything that a run measured without labels."""
    last: dict[str, float] = {}
    for name in ("metrics.csv", "health.csv"):
        for row in table_of(run.path / name):
            last |= {key: value for key, value in row.items() if key not in COUNTERS}
    return last


def searches(places: Sequence[Path]) -> list[dict[str, Any]]:
    """Read what Optuna has tried in the studies at ``places``; one that cannot be read is absent.

    Each has ``name``, ``trials`` and ``importances`` (setting -> share), names apart.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(file for place in places for file in place.glob(f"tune/*/{SEARCH}")):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            content = read_json(file)
            name = str(content["name"])
            name = f"{name} ({file.parent.name})" if name in found else name
            trials = [_trial(trial) for trial in content["trials"]]
            shares = {str(key): float(value) for key, value in content["importances"].items()}
            found[name] = {"name": name, "trials": trials, "importances": shares}
    return list(found.values())


def _trial(content: Any) -> dict[str, Any]:
    """Return number, state, label and value; of a trial that was ended the value of its last
    rung."""
    rungs = {int(key): float(value) for key, value in content["rungs"].items()}
    value = content["value"] if content["value"] is not None else rungs.get(max(rungs, default=0))
    return {
        "number": int(content["number"]),
        "state": str(content["state"]),
        "label": str(content["label"]),
        "value": None if value is None else float(value),
    }


def class_rows(run: FinishedRun) -> dict[str, dict[str, float]]:
    """Return metric -> class -> percent right, from what every probe answered for each test image
    (``evaluation.npz``).

    Classes by their names where the data have them. Empty where labels are no classes, and where
    the file is missing or cut off. Read with numpy alone: the page needs no torch.
    """
    try:
        with np.load(run.path / "evaluation.npz", allow_pickle=False) as stored:
            labels, names = (
                stored["labels"],
                parse_json(str(stored["told"])).get("classes", []) if "told" in stored else [],
            )
            answers = {
                key.removeprefix(ANSWERS): stored[key]
                for key in stored.files
                if key.startswith(ANSWERS)
            }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}
    found: dict[str, dict[str, float]] = {}
    for probe, answered in answers.items():
        metric = f"{probe}_top1"
        if run.value(TRAINED, metric) and labels.ndim == 1 and answered.shape == labels.shape:
            right = {
                int(label): 100 * float(np.mean(answered[labels == label] == label))
                for label in np.unique(labels)
                if label >= 0
            }
            found[metric] = {
                names[label] if label < len(names) else f"class {label}": share
                for label, share in right.items()
            }
    return found


def figures(entries: Sequence[Entry]) -> list[Figure]:
    """Return the pictures that one run of each entry drew: that of the smallest seed, not the
    best-looking."""
    found, room = [], FIGURE_BYTES
    for entry in entries:
        run = min(entry.runs, key=lambda run: (run.seed, run.path))
        for path in sorted((run.path / "figures").glob("*.png")):
            data = _small(path) if room > 0 else None
            room -= len(data or b"")
            source = (
                f"data:image/webp;base64,{base64.b64encode(data).decode()}"
                if data and room >= 0
                else None
            )
            found.append(Figure(f"{entry.name}: {path.stem}, seed {run.seed}", str(path), source))
    return found


def _small(path: Path) -> bytes | None:
    try:
        if path.is_symlink():  # out of a folder that came from elsewhere
            return None
        with open_image(str(path)) as opened:
            image = opened.convert("RGB")
            image.thumbnail((FIGURE_WIDTH, 4 * FIGURE_WIDTH))
            out = io.BytesIO()
            image.save(out, "webp", quality=85)
            return out.getvalue()
    except DAMAGE:  # cut off while it was written
        return None
