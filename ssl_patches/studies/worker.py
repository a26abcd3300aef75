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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssl_patches.config import locks
from ssl_patches.config.atomic import write_json, write_text
from ssl_patches.config.messages import Failed, Say
from ssl_patches.config.plain_text import in_lines, traceback_of
from ssl_patches.config.run_dir import CELL, SUMMARY
from ssl_patches.studies import tuning
from ssl_patches.studies.jobs import Job, Plan, Search, StudyRun
from ssl_patches.studies.run_reader import ERROR, State, run_state
from ssl_patches.studies.search import chosen_job, run_search, search_state, values_by_label
from ssl_patches.studies.trials import run_trial
from ssl_patches.training.finish import finish
from ssl_patches.training.fit import Interrupted
from ssl_patches.training.prepare import prepare
from ssl_patches.training.process import before_training
from ssl_patches.training.run import execute
from ssl_patches.training.statistics import with_statistics
from ssl_patches.training.weights import with_pinned_weights

ALL_DIVERGED = "all its trials diverged; give other tune.values"
POLL = 2.0  # seconds between looks at what others do


@dataclass(frozen=True)
class JobStatus:
    """A trial, a search or a run of a study, and how far it is. ``job`` None: its trials have not
    chosen yet, or it is a search."""

    name: str
    state: State
    job: Job | None
    trial: bool = False
    search: Search | None = None

    @property
    def waits(self) -> bool:
        """Tell whether it waits for its trials."""
        return self.work is None and self.state.kind == "missing"

    @property
    def work(self) -> Job | Search | None:
        """Return what can be worked on."""
        return self.job or self.search


def job_statuses(plan: Plan) -> list[JobStatus]:
    """Read from files how each trial, search and run stands, in the order of the plan."""
    trials = {job.name: job for job in plan.trials}
    states = {name: run_state(plan.directory(job)) for name, job in trials.items()}
    found = [
        JobStatus(f"trial {name}", states[name], job, trial=True) for name, job in trials.items()
    ]
    searches = {
        search.name: JobStatus(
            f"search {search.name}", search_state(plan, search), None, search=search
        )
        for search in plan.searches
    }
    return [
        *found,
        *searches.values(),
        *(
            _searched(plan, run, searches[run.search])
            if run.search
            else _status(plan, run, {name: states[name] for name in run.trials})
            for run in plan.runs
        ),
    ]


def _searched(plan: Plan, run: StudyRun, status: JobStatus) -> JobStatus:
    if status.state.kind == "failed":
        return JobStatus(run.name, State("failed", f"{status.name} failed"), None)
    if status.state.kind != "finished" or status.search is None:
        return JobStatus(run.name, State("missing", f"waits for {status.name}"), None)
    job = chosen_job(plan, run, status.search)
    if job is None:
        return JobStatus(run.name, State("failed", ALL_DIVERGED), None)
    return JobStatus(run.name, run_state(plan.directory(job)), job)


def _status(plan: Plan, run: StudyRun, trials: dict[str, State]) -> JobStatus:
    if failed := [name for name, state in trials.items() if state.kind == "failed"]:
        return JobStatus(run.name, State("failed", f"trial {failed[0]} failed"), None)
    if open_trials := [name for name, state in trials.items() if state.kind != "finished"]:
        return JobStatus(run.name, State("missing", f"waits for {len(open_trials)} trials"), None)
    best = tuning.winner(values_of(plan, run)) if trials else 0
    if best is None:
        return JobStatus(run.name, State("failed", ALL_DIVERGED), None)
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
            if status.work and status.state.kind not in ("finished", "failed", "running"):
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


def work_on(plan: Plan, name: str, *, say: Say) -> None:
    """Run one trial, search or run of a plan, in this process, until it is finished or has failed.

    While another process has it, this one waits, and takes over where that one dies. Raises as
    ``work``.
    """
    before_training()
    while True:
        (status,) = (each for each in job_statuses(plan) if each.name == name)
        if status.state.kind in ("finished", "failed"):
            return
        if not _attempt(plan, status, say):
            time.sleep(POLL)


def _attempt(plan: Plan, status: JobStatus, say: Say) -> bool:
    """Run it unless another worker has it. True when it was run, well or not."""
    if status.work is None:
        return False
    at = plan.directory(status.work)
    with locks.locked(at) as ours:
        if not ours or _is_finished(plan, status) or (at / ERROR).is_file():
            return False
        open_now = [
            each for each in job_statuses(plan) if each.state.kind not in ("finished", "failed")
        ]
        say(in_lines(["", f"== {status.name} ({len(open_now)} to go) -> {at}"]))
        with errors_told(at, status.name, say):
            at.mkdir(parents=True, exist_ok=True)
            if status.search:
                run_search(plan, status.search, say=say)
            elif status.job:
                write_json(at / CELL, _about(plan, status.job, trial=status.trial))
                (at / SUMMARY).unlink(missing_ok=True)  # one that cannot be read
                run_job(status.job, at, trial=status.trial, say=say)
            if not _is_finished(plan, status):
                raise RuntimeError(f"{at}: ended without a result that can be read")
    return True


def _is_finished(plan: Plan, status: JobStatus) -> bool:
    if status.search:
        return search_state(plan, status.search).kind == "finished"
    return status.job is not None and run_state(plan.directory(status.job)).kind == "finished"


def run_job(job: Job, directory: Path, *, trial: bool, say: Say) -> None:
    """Train, or go on, and evaluate; a trial is judged instead."""
    if trial:
        run_trial(job, directory, say=say)
        return
    asked = {**job.cfg, "run_dir": str(directory), "resume": True}
    cfg, told = with_statistics(with_pinned_weights(asked))
    for line in told:
        say(line)
    began = time.monotonic()
    on_finished = partial(finish, words=job.words)
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
            write_text(directory / ERROR, f"{traceback_of(error)}\n")
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
        if status.work and status.state.kind == "failed":
            at = plan.directory(status.work)
            with locks.locked(at) as ours:
                if ours:
                    (at / ERROR).unlink(missing_ok=True)


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
            for search in plan.searches:
                if search.name == run.search:
                    about |= {"trials": values_by_label(plan, search)}
    return about
