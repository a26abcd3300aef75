"""Run the jobs of a plan that are missing, one after the other; any number of workers may do so at
once.

Nobody hands out work. Each worker goes through the same plan and locks a directory before it runs
what belongs there; what is finished is never run again, what was killed or stopped is resumed from
its last checkpoint, and what failed leaves ``error.txt`` and does not stop the rest. Trials come
first; a tuned run waits until its trials have chosen for it.

Ctrl-C ends the worker: once after the step in progress, which is saved; twice at once.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssl_patches.config import locks
from ssl_patches.config.atomic import write_json, write_text
from ssl_patches.config.messages import Failed, Say
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.studies import tuning
from ssl_patches.studies.planning import Job, Plan, StudyRun
from ssl_patches.studies.run_reader import CELL, ERROR, State, run_state
from ssl_patches.training.finish import finish
from ssl_patches.training.fit import Interrupted
from ssl_patches.training.prepare import prepare
from ssl_patches.training.process import before_training
from ssl_patches.training.run import execute
from ssl_patches.training.statistics import with_statistics

POLL = 2.0  # seconds between looks at what others do


@dataclass(frozen=True)
class JobStatus:
    """A trial or a run of a study, and how far it is. ``job`` None: its trials have not chosen
    yet."""

    name: str
    state: State
    job: Job | None
    trial: bool = False

    @property
    def waits(self) -> bool:
        """Tell whether it waits for its trials."""
        return self.job is None and self.state.kind == "missing"


def job_statuses(plan: Plan) -> list[JobStatus]:
    """Read from files how each trial and run stands: trials first, in the order of the plan."""
    trials = {job.name: job for job in plan.trials}
    states = {name: run_state(plan.directory(job)) for name, job in trials.items()}
    found = [
        JobStatus(f"trial {name}", states[name], job, trial=True) for name, job in trials.items()
    ]
    return found + [
        _status(plan, run, {name: states[name] for name in run.trials}) for run in plan.runs
    ]


def _status(plan: Plan, run: StudyRun, trials: dict[str, State]) -> JobStatus:
    if failed := [name for name, state in trials.items() if state.kind == "failed"]:
        return JobStatus(run.name, State("failed", f"trial {failed[0]} failed"), None)
    if open_trials := [name for name, state in trials.items() if state.kind != "finished"]:
        return JobStatus(run.name, State("missing", f"waits for {len(open_trials)} trials"), None)
    best = tuning.winner(values_of(plan, run)) if trials else 0
    if best is None:
        return JobStatus(
            run.name, State("failed", "all its trials diverged; give other tune.values"), None
        )
    job = run.choices[best]
    return JobStatus(run.name, run_state(plan.directory(job)), job)


def values_of(plan: Plan, run: StudyRun) -> list[float | None]:
    """Return what the trials of a run reached in percent, in the order of its choices; None for one
    that diverged."""
    jobs = {job.name: job for job in plan.trials}
    return [tuning.value_of(plan.directory(jobs[name])) for name in run.trials]


def work(plan: Plan, *, say: Say, wait: bool) -> None:
    """Run what is missing, in this process, one job after the other. Raises Interrupted and
    KeyboardInterrupt; Failed when no more can be written. ``wait``: stay until what other processes
    work on is done too, and take it over if they die."""
    before_training()
    told = ""
    while True:
        ran = False
        for status in job_statuses(plan):
            if status.job and status.state.kind not in ("finished", "failed", "running"):
                ran |= _attempt(plan, status, say)
        left = [
            status
            for status in job_statuses(plan)
            if status.state.kind not in ("finished", "failed")
        ]
        busy = [status for status in left if status.state.kind == "running"]
        if not left or (len(left) == len(busy) and not wait):
            return
        if not ran:
            waiting = ", ".join(f"{status.name} ({status.state.note})" for status in busy)
            if waiting != told:
                say(f"waiting for {waiting}")
            told = waiting
            time.sleep(POLL)


def _attempt(plan: Plan, status: JobStatus, say: Say) -> bool:
    """Run it unless another worker has it. True when it was run, well or not."""
    job = status.job
    if job is None:
        return False
    at = plan.directory(job)
    with locks.locked(at) as ours:
        if not ours or run_state(at).kind == "finished" or (at / ERROR).is_file():
            return False
        open_now = [
            each for each in job_statuses(plan) if each.state.kind not in ("finished", "failed")
        ]
        say(f"\n== {status.name} ({len(open_now)} to go) -> {at}")
        with errors_told(at, status.name, say):
            at.mkdir(parents=True, exist_ok=True)
            write_json(at / CELL, _about(plan, job, trial=status.trial))
            (at / SUMMARY).unlink(missing_ok=True)  # one that cannot be read
            run_job(job, at, trial=status.trial, say=say)
            if run_state(at).kind != "finished":
                raise RuntimeError(f"{at}: ended without a result that can be read")
    return True


def run_job(job: Job, directory: Path, *, trial: bool, say: Say) -> None:
    """Train, or go on, and evaluate; a trial is judged instead."""
    cfg, told = with_statistics({**job.cfg, "run_dir": str(directory), "resume": True})
    for line in told:
        say(line)
    cfg |= (
        {"callbacks": {}} if trial else {}
    )  # observers look at held-out images, and a trial sees none
    began = time.monotonic()
    on_finished = tuning.judge if trial else partial(finish, words=job.words)
    execute(cfg, prepare(cfg), began=began, on_finished=on_finished, say=say)


@contextmanager
def errors_told(directory: Path, name: str, say: Say) -> Iterator[None]:
    """Write the error of a job into its directory, so that the others go on.

    Failed where nothing more can be written: the worker ends, nothing that follows could be kept.
    Interrupted passes through. No other place of the package catches every error.
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
        except OSError as unwritten:
            raise Failed(
                f"{directory}: cannot be written ({unwritten.strerror});"
                f" {name} failed with {reason}"
            ) from error
        full = error.__cause__ if isinstance(error, Failed) else error
        if isinstance(full, OSError) and full.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failed(
                f"{directory}: {full.strerror}; make room and give the same command, it goes on"
                " from here"
            ) from error


def clear_errors(plan: Plan) -> None:
    """Remove what failed jobs left, so that they are tried again."""
    for status in job_statuses(plan):
        if status.job and status.state.kind == "failed":
            with locks.locked(plan.directory(status.job)) as ours:
                if ours:
                    (plan.directory(status.job) / ERROR).unlink(missing_ok=True)


def _about(plan: Plan, job: Job, *, trial: bool) -> dict[str, Any]:
    """``cell.json``: what this directory is in the study, and how its tuned values were found."""
    about: dict[str, Any] = {
        "study": plan.name,
        "name": job.name,
        "key": job.key,
        "command": job.command,
        "words": job.words,
    }
    for run in plan.runs:
        if not trial and run.name == job.name:
            about |= {"axes": run.axes}
            if run.trials:
                about |= {"trials": dict(zip(run.trials, values_of(plan, run), strict=True))}
    return about
