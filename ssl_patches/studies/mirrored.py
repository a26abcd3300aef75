"""Run the jobs of a plan on machines that share no disk: an object store keeps their folders.

A task works in a folder of its node that is its own. It fetches what the store has of its run, and
of the trials that choose for it, goes on from there, and keeps the run in the store at each
checkpoint and at its end. The driver fetches what has ended to the folder of the study, where it
lies as if it had been made there. What the store has counts: a run that lies in both goes on from
the store's.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_patches.config import locks
from ssl_patches.config.keys import key_of
from ssl_patches.config.messages import Say
from ssl_patches.config.run_dir import LAST
from ssl_patches.studies import mirror
from ssl_patches.studies.jobs import Plan
from ssl_patches.studies.object_store import ObjectStore
from ssl_patches.studies.run_reader import ERROR, State
from ssl_patches.studies.worker import POLL, JobStatus, job_statuses, work_on


def log_of(name: str) -> str:
    """Return the path of what a job says, below the folder of the study."""
    return f"logs/{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name)}.log"


@contextmanager
def folder_of_task(store: ObjectStore, name: str) -> Iterator[Path]:
    """Yield an empty folder of this machine, which is deleted afterwards.

    It lies where the system has its temporary files (``TMPDIR``). What a killed task left there is
    deleted first; while another process has it, this one waits. PermissionError where another user
    made it.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    above = Path(tempfile.gettempdir(), f"ssl-patches-ray-{user}")
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and above.stat().st_uid != user:
        raise PermissionError(f"{above}: belongs to another user; set TMPDIR to another folder")
    folder = above / key_of(store=store.url, name=name)[:16]
    while True:
        with locks.locked(folder) as ours:
            if ours:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                break
        time.sleep(POLL)
    locks.remove_locks(folder)


def fetch_needed(plan: Plan, name: str, store: ObjectStore, *, say: Say) -> None:
    """Fetch what the store has of a job, and of the trials or the search that choose for it, to
    the folder of the plan."""
    run = next((run for run in plan.runs if run.name == name), None)
    places = [job.place for job in plan.trials if run and job.name in run.trials]
    places += [search.place for search in plan.searches if run and search.name == run.search]
    for place in places:
        mirror.pull(store, place, Path(plan.out, place), say=say)
    if (work := _status(plan, name).work) is not None:
        at = plan.directory(work)
        mirror.pull(store, work.place, at, say=say)
        (at / ERROR).unlink(missing_ok=True)  # the driver wants it tried again


def work_mirrored(plan: Plan, name: str, store: ObjectStore, *, say: Say) -> None:
    """Run a job of a plan, whose folder is this task's own, to its end, and keep it in the store.

    Raises as ``work_on``; ValueError where the store does not keep the end of it.
    """
    fetch_needed(plan, name, store, say=say)
    if (work := _status(plan, name).work) is None:
        raise ValueError(f"{store.url}: has not all trials that {name} waits for; try again")
    at, log = plan.directory(work), Path(plan.out, log_of(name))

    def keep(*, finished: bool = False) -> None:
        mirror.push(store, at, work.place, finished=finished)
        if log.is_file():
            store.put(log, log_of(name))

    try:
        with mirror.keeping(at, keep, say=say):
            work_on(plan, name, say=say)
    finally:
        if at.is_dir():
            keep(finished=_status(plan, name).state.kind == "finished")


def exchange(plan: Plan, store: ObjectStore, *, say: Say) -> None:
    """Fetch what is finished in the store to the folder of the study, and keep there what only the
    folder has."""
    looked, there = set[str](), mirror.states(store)
    while True:  # what is fetched may choose for another run
        new = [status for status in job_statuses(plan) if status.work and status.name not in looked]
        if not new:
            return
        for status in new:
            looked.add(status.name)
            assert status.work is not None
            at, found = plan.directory(status.work), there.get(status.work.place)
            done = status.state.kind == "finished"
            if found and found[-1].finished and not done:
                fetch(plan, status.name, store, say=say)
            elif not found and (done or any(at.rglob(LAST.name))):
                mirror.push(store, at, status.work.place, finished=done)


def fetch(plan: Plan, name: str, store: ObjectStore, *, say: Say) -> State:
    """Make the folder of a job in the study what the store has of it, and return how it stands.

    What it said comes too. ValueError while another process works in the folder.
    """
    store.get(log_of(name), Path(plan.out, log_of(name)))
    if (work := _status(plan, name).work) is not None:
        at = plan.directory(work)
        with locks.exclusive(at):
            mirror.pull(store, work.place, at, say=say)
    return _status(plan, name).state


def _status(plan: Plan, name: str) -> JobStatus:
    return next(each for each in job_statuses(plan) if each.name == name)
