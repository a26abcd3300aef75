"""Write what a run measures: rows of a CSV, the same numbers to loggers, lines on the terminal."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
from tqdm import tqdm

from ssl_patches.config.atomic import write_text
from ssl_patches.config.plain_text import printable

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
        named = {f"{prefix}{key}": value for key, value in row.items() if key != "step"}
        for logger in trainer.loggers:
            tell_logger(logger, lambda each: each.log_metrics(named, step=int(row["step"])))

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


@runtime_checkable
class MayBeLost(Protocol):
    """A logger that a run can go on without: its library may fail, or its server be gone.

    ``lost``: it has failed, and is told nothing more.
    """

    lost: bool

    def refusals(self) -> tuple[type[Exception], ...]:
        """Return what its library raises where it cannot go on."""


def tell_logger(logger: Any, act: Callable[[Any], None], *, what: str = "cannot go on") -> None:
    """Call ``act`` with a logger. A run does not end with its record.

    One that may be lost is lost with the first refusal of its library, which is said once; ``what``
    it is that fails.
    """
    if not isinstance(logger, MayBeLost):
        act(logger)
    elif not logger.lost:
        try:
            act(logger)
        except logger.refusals() as error:
            logger.lost = True
            report(
                f"{refusal_of(logger, what, error)}; the run is unharmed, all results stand in its"
                " own directory"
            )


def refusal_of(logger: Any, what: str, error: Exception) -> str:
    """Say in one line what a logger does not do, and what its library says to that."""
    return f"logger={type(logger).__name__.removesuffix('Run').lower()} {what}: {first_line(error)}"


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def report(line: str) -> None:
    """Print a line on standard error, above the progress bar where there is one."""
    tqdm.write(printable(line), file=sys.stderr)
