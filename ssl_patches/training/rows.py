"""What a run says while it goes on: rows of a CSV, the same numbers to the loggers, and lines on
the terminal."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

import lightning as L
from tqdm import tqdm

HELD_OUT, TRAIN = "held_out_", "train_"
"""What stands before the name of a task's metric in a row of health.csv: of which images it is."""


def of_split(row: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Return the metrics of one split of images in a row, without the prefix."""
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)
    }


class Rows:
    """A CSV that grows, and that a resumed run goes on with: ``path``, made with the first row; its
    first column is the step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, object]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def log(self, trainer: L.Trainer, row: Mapping[str, float], *, prefix: str = "") -> None:
        """``row`` to the file and, with ``prefix`` before its names, to the trainer's loggers."""
        self.append(row)
        for logger in trainer.loggers:
            logger.log_metrics(
                {f"{prefix}{key}": value for key, value in row.items() if key != "step"},
                step=row["step"],
            )

    def shorten(self, step: int) -> None:
        """Drop rows after ``step``: a resumed run writes them again."""
        if not self.path.exists():
            return
        lines = self.path.read_text().splitlines(keepends=True)
        kept = [
            line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= step
        ]
        self.path.write_text("".join(lines[:1] + kept))

    def read(self) -> list[dict[str, float]]:
        """All rows as numbers; none when there is no file."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
            ]


def say(line: str) -> None:
    """A line on standard error, above the progress bar where there is one."""
    tqdm.write(line, file=sys.stderr)
