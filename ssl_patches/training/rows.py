"""Write what a run measures: rows of a CSV, the same numbers to loggers, lines on the terminal."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
from tqdm import tqdm

from ssl_patches.config.atomic import write_text

HELD_OUT, TRAIN = "held_out_", "train_"
"""What stands before the name of a task's metric in a row of health.csv: of which images it is."""


def of_split(row: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Return the metrics of one split of images in a row, without the prefix."""
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)
    }


class Rows:
    """A CSV file that grows, and that a resumed run goes on with.

    ``path``: made with the first row. The first column is the step.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, object]) -> None:
        """Write a row at the end of the file."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def log(self, trainer: L.Trainer, row: Mapping[str, float], *, prefix: str = "") -> None:
        """Write a row to the file and, with ``prefix`` before its names, to the loggers."""
        self.append(row)
        for logger in trainer.loggers:
            logger.log_metrics(
                {f"{prefix}{key}": value for key, value in row.items() if key != "step"},
                step=int(row["step"]),
            )

    def drop_after(self, step: int) -> None:
        """Drop the rows after ``step``: a resumed run writes them again."""
        if not self.path.exists():
            return
        lines = self.path.read_text().splitlines(keepends=True)
        kept = [
            line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= step
        ]
        write_text(self.path, "".join(lines[:1] + kept))

    def read(self) -> list[dict[str, float]]:
        """Read all rows as numbers; none when there is no file."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
            ]


@runtime_checkable
class TakesImages(Protocol):
    """A logger that takes images, as Lightning's for Weights & Biases does."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Log images, or paths of images, under a name."""


@runtime_checkable
class TakesText(Protocol):
    """A logger that takes tables of text, as Lightning's for Weights & Biases does."""

    def log_text(self, key: str, columns: list[str], data: list[list[Any]]) -> None:
        """Log a table under a name."""


@runtime_checkable
class TakesAlerts(Protocol):
    """A logger that sends messages to people."""

    def alert(self, title: str, text: str) -> None:
        """Send a message."""


def report(line: str) -> None:
    """Print a line on standard error, above the progress bar where there is one."""
    tqdm.write(line, file=sys.stderr)
