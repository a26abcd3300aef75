"""A worker: takes what is missing, one job after the other, until nothing is left for it. Any
number may work at once.

Nobody hands out work. Each worker goes through the same plan and claims a directory before it runs
what belongs there; what is finished is never run again, what was killed or stopped is resumed from
its last checkpoint, and what failed leaves ``error.txt`` and does not stop the rest. Trials come
first; a tuned cell waits until its trials have chosen for it.

Ctrl-C ends the worker: once after the step in progress, which is saved; twice at once.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches.config import locks
from ssl_patches.config.atomic import write_json, write_text
from ssl_patches.config.messages import Failed, Say
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.data import build as build_data
from ssl_patches.studies import tuning
from ssl_patches.studies.cells import Cell, Job, Plan
from ssl_patches.studies.state import CELL, ERROR, State, state_of
from ssl_patches.training.finish import finish
from ssl_patches.training.fit import Interrupted
from ssl_patches.training.prepare import prepare
from ssl_patches.training.run import carry_out

POLL = 2.0  # seconds between looks at what others do


@dataclass(frozen=True)
class Standing:
    """A trial or a cell and how far it is. ``job`` None: its trials have not chosen yet."""

    name: str
    state: State
    job: Job | None
    trial: bool = False

    @property
    def waits(self) -> bool:
        return self.job is None and self.state.kind == "missing"


def standings(plan: Plan) -> list[Standing]:
    """Trials, then cells, in the order of the plan, as their files tell."""
    trials = {job.name: job for job in plan.trials}
    states = {name: state_of(plan.directory(job)) for name, job in trials.items()}
    found = [
        Standing(f"trial {name}", states[name], job, trial=True) for name, job in trials.items()
    ]
    return found + [
        _standing(plan, cell, {name: states[name] for name in cell.trials}) for cell in plan.cells
    ]


def _standing(plan: Plan, cell: Cell, trials: dict[str, State]) -> Standing:
    if failed := [name for name, state in trials.items() if state.kind == "failed"]:
        return Standing(cell.name, State("failed", f"trial {failed[0]} failed"), None)
    if open_trials := [name for name, state in trials.items() if state.kind != "finished"]:
        return Standing(cell.name, State("missing", f"waits for {len(open_trials)} trials"), None)
    best = tuning.winner(values_of(plan, cell)) if trials else 0
    if best is None:
        return Standing(
            cell.name, State("failed", "all its trials diverged; give other tune.values"), None
        )
    job = cell.choices[best]
    return Standing(cell.name, state_of(plan.directory(job)), job)


def values_of(plan: Plan, cell: Cell) -> list[float | None]:
    """What the trials of a cell reached, in the order of its choices."""
    jobs = {job.name: job for job in plan.trials}
    return [tuning.value_of(plan.directory(jobs[name])) for name in cell.trials]


def work(plan: Plan, *, say: Say, wait: bool) -> None:
    """Runs what is missing, here, one after the other. Raises Interrupted and KeyboardInterrupt;
    Failed when no more can be written. ``wait``: stay until what other processes work on is done
    too, and take it over if they die.
    """
    told = ""
    while True:
        ran = False
        for standing in standings(plan):
            if standing.job and standing.state.kind not in ("finished", "failed", "running"):
                ran |= _attempt(plan, standing, say)
        left = [
            standing
            for standing in standings(plan)
            if standing.state.kind not in ("finished", "failed")
        ]
        busy = [standing for standing in left if standing.state.kind == "running"]
        if not left or (len(left) == len(busy) and not wait):
            return
        if not ran:
            waiting = ", ".join(f"{standing.name} ({standing.state.note})" for standing in busy)
            if waiting != told:
                say(f"waiting for {waiting}")
            told = waiting
            time.sleep(POLL)


def _attempt(plan: Plan, standing: Standing, say: Say) -> bool:
    """Run it unless another worker has it. True when it was run, well or not."""
    job, at = standing.job, plan.directory(standing.job)
    with locks.locked(at) as ours:
        if not ours or state_of(at).kind == "finished" or (at / ERROR).is_file():
            return False
        open_now = [
            each for each in standings(plan) if each.state.kind not in ("finished", "failed")
        ]
        say(f"\n== {standing.name} ({len(open_now)} to go) -> {at}")
        with errors_told(at, standing.name, say):
            at.mkdir(parents=True, exist_ok=True)
            write_json(at / CELL, _about(plan, standing))
            (at / SUMMARY).unlink(missing_ok=True)  # one that cannot be read
            run_job(job, at, trial=standing.trial, say=say)
            if state_of(at).kind != "finished":
                raise RuntimeError(f"{at}: ended without a result that can be read")
    return True


def run_job(job: Job, directory: Path, *, trial: bool, say: Say) -> None:
    """Train, or go on, and evaluate; a trial is judged instead."""
    cfg = {**build_data.with_measured_statistics(job.cfg), "run_dir": str(directory), "resume": True}
    cfg |= (
        {"callbacks": {}} if trial else {}
    )  # observers look at held-out images, and a trial sees none
    began = time.monotonic()
    carry_out(cfg, prepare(cfg), began=began, end=tuning.judge if trial else finish, say=say)


@contextmanager
def errors_told(directory: Path, name: str, say: Say) -> Iterator[None]:
    """The one place where any error is caught: whatever a cell dies of is written to its directory,
    and others go on.

    Only a disk that takes nothing more ends the worker: nothing that follows could be kept.
    """
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip()
        say(f"{name}: failed: {reason}")
        try:
            write_text(directory / ERROR, "".join(traceback.format_exception(error)))
        except OSError as full:
            raise Failed(
                f"{directory}: cannot be written ({full.strerror}); {name} failed with {reason}"
            ) from error
        full = error.__cause__ if isinstance(error, Failed) else error
        if isinstance(full, OSError) and full.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failed(
                f"{directory}: {full.strerror}; make room and give the same command, it goes on"
                " from here"
            ) from error


def clear_errors(plan: Plan) -> None:
    """What failed is tried again when a study is started anew."""
    for standing in standings(plan):
        if standing.job and standing.state.kind == "failed":
            with locks.locked(plan.directory(standing.job)) as ours:
                if ours:
                    (plan.directory(standing.job) / ERROR).unlink(missing_ok=True)


def _about(plan: Plan, standing: Standing) -> dict[str, Any]:
    """``cell.json``: what this directory is in the study, and how its tuned values were found."""
    job = standing.job
    about = {
        "study": plan.name,
        "name": job.name,
        "key": job.key,
        "command": job.command,
        "words": job.words,
    }
    for cell in plan.cells:
        if not standing.trial and cell.name == job.name:
            about |= {"axes": cell.axes}
            if cell.trials:
                about |= {"trials": dict(zip(cell.trials, values_of(plan, cell), strict=True))}
    return about
