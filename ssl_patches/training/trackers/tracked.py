"""Follow a run from its first step to its summary, for any number of loggers at once.

A logger gets rows and pictures while a run trains. A ``Tracker`` is also told what the run is,
before the first step, and what came of it, after its evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch.loggers import Logger, WandbLogger

from ssl_patches.config.instantiate import build
from ssl_patches.config.messages import Failed
from ssl_patches.config.outside import read_json
from ssl_patches.config.run_dir import CELL, SUMMARY
from ssl_patches.training.rows import MayBeLost, Rows, refusal_of, tell_logger


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before its first step.

    ``config``: as ``config.yaml`` has it. ``fingerprint``: of the training images. ``batch_size``:
    images of a step.
    """

    run_dir: Path
    config: Mapping[str, Any]
    task: str
    encoder: str
    data: str
    fingerprint: str
    batch_size: int

    @property
    def tags(self) -> list[str]:
        """List task, encoder and data, by which runs are found again."""
        return [self.task, self.encoder, self.data]


@runtime_checkable
class Tracker(MayBeLost, Protocol):
    """A logger that is told what a run is and what came of it."""

    def begin(self, facts: RunFacts) -> None:
        """Take what a run is, before its first step."""

    def conclude(self, facts: RunFacts, summary: Mapping[str, Any]) -> None:
        """Take ``summary.json`` of a run that is finished; its directory holds the rest."""

    def close(self, *, failed: bool) -> None:
        """End the record; ``failed``: the run was stopped or broke off, or its record is not
        whole."""


def loggers_of(node: Mapping[str, Any] | None, run_dir: Path) -> list[Logger]:
    """Build the loggers of ``logger=NAME`` or ``logger=[NAME,NAME]``; none for ``logger=csv``.

    ValueError where one cannot be built, before anything is written.
    """
    if not node:
        return []
    nodes = [node] if "_target_" in node else [each for each in node.values() if each]
    return [build(each, run_dir=run_dir) for each in nodes]


@contextmanager
def followed(loggers: Sequence[Logger], facts: RunFacts) -> Iterator[None]:
    """Tell all trackers of a run that begins, what came of it, and its end, however it ends.

    Failed where a tracker cannot begin, when nothing is lost yet. Later the run goes on without it.
    """
    trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
    failed = True
    try:
        for tracker in trackers:
            _begin(tracker, facts)
        yield
        if (facts.run_dir / SUMMARY).is_file():
            summary = json.loads((facts.run_dir / SUMMARY).read_text(encoding="utf-8"))
            for tracker in trackers:
                tell_logger(
                    tracker,
                    lambda each: each.conclude(facts, summary),
                    what="did not take the results",
                )
        failed = False
    finally:
        for logger in loggers:
            if isinstance(logger, Tracker):
                _close(logger, failed=failed)
            elif isinstance(logger, WandbLogger):
                logger.experiment.finish()


def _begin(tracker: Tracker, facts: RunFacts) -> None:
    try:
        tracker.begin(facts)
    except tracker.refusals() as error:
        raise Failed(
            f"{refusal_of(tracker, 'cannot begin', error)}; all results of a run stand in its own"
            " directory, with logger=csv nothing else is written",
            facts.run_dir,
        ) from error


def _close(tracker: Tracker, *, failed: bool) -> None:
    """End a record; of one that is lost the refusals have been told."""
    if not tracker.lost:
        tell_logger(
            tracker, lambda each: each.close(failed=failed), what="has not the whole record"
        )
        return
    with suppress(*tracker.refusals()):
        tracker.close(failed=True)


def study_of(run_dir: Path) -> str | None:
    """Return the name of the study that a run belongs to, None for a run by itself."""
    try:
        about = read_json(run_dir / CELL)
    except (OSError, ValueError):
        return None
    name = about.get("study") if isinstance(about, dict) else None
    return name if isinstance(name, str) else None


def found_in(run_dir: Path, summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a finished run by name.

    ``results/METRIC`` of the encoder, ``floors/MODEL/METRIC`` of what it has to clear,
    ``health/NAME`` at the end, ``budget/NAME`` used, ``images_per_second`` and the number of
    ``alarms``.
    """
    found: dict[str, float] = {}
    for row in summary["results"]:
        ours = row["model"] == "trained"
        place = "results" if ours else f"floors/{row['model']}"
        found[f"{place}/{row['metric']}"] = row["value"]
    for row in Rows(run_dir / "health.csv").read()[-1:]:
        found |= {f"health/{key}": value for key, value in row.items() if key != "step"}
    found |= {f"budget/{key}": value for key, value in summary["budget_used"].items()}
    found["images_per_second"] = summary["images_per_second"]
    return found | {"alarms": len(summary["alarms"])}


def flat(tree: Any, at: str = "") -> dict[str, Any]:
    """Return the settings of a nested configuration by their dotted keys, as they are typed."""
    if isinstance(tree, Mapping) and tree:
        parts = [flat(value, f"{at}.{key}" if at else str(key)) for key, value in tree.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {at: tree}
