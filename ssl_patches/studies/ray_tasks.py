"""Run each trial, search and run of a study as a task of Ray.

Ray places tasks where the processors and GPUs that ``ray.num_cpus`` and ``ray.num_gpus`` state are
free, and starts one again elsewhere when its node is lost; the run then goes on from its last
checkpoint. All nodes see the study's folder under the same path, or an object store keeps the runs
(``mirrored.py``).

The traps: (a) whoever worked on a lost node holds the lock of the run until it has been silent for
``config.locks.SILENCE``, so a task that was started again waits for it (not with a store: each task
has a folder of its own); (b) Ray raises KeyboardInterrupt in a cancelled task by the handler of
SIGINT, which is the one that saves.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_patches.config.messages import Say
from ssl_patches.config.plain_text import tell
from ssl_patches.studies.object_store import ObjectStore
from ssl_patches.studies.ray_cluster import task_options

if TYPE_CHECKING:
    from ssl_patches.studies.jobs import Plan

PATIENCE = 600.0
"""Seconds for the tasks to save after ctrl-C."""


class RayTasks:
    """The tasks of a plan on the connected cluster: begun as soon as what they wait for is there.

    ``workers``: at most so many at once; None: as many as the cluster has room for. ``store``:
    keeps the runs; None: all nodes see their folder.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        workers: int | None,
        settings: Mapping[str, Any],
        store: ObjectStore | None,
        say: Say,
    ) -> None:
        import ray

        self.plan, self.workers, self.store, self.say = plan, workers, store, say
        self.sent = ray.put(plan)
        # max_calls: a process for each, so that what it held is free again
        remote = ray.remote(max_retries=-1, max_calls=1, **task_options(settings))
        self.task = remote(run_one)
        self.begun: dict[str, Any] = {}
        self.broken: set[str] = set()

    def going(self) -> bool:
        """Begin what can be begun; tell whether anything is left to wait for."""
        from ssl_patches.studies.worker import job_statuses

        self._collect(timeout=0)
        for status in job_statuses(self.plan):
            done = status.state.kind in ("finished", "failed") or status.name in self.broken
            room = self.workers is None or len(self.begun) < self.workers
            if status.work and not done and room and status.name not in self.begun:
                given = self.sent, status.name, str(Path.cwd()), list(sys.path), self.store
                self.begun[status.name] = self.task.options(name=status.name).remote(*given)
        return bool(self.begun)

    def _collect(self, timeout: float) -> None:
        """Take out what has ended within ``timeout`` seconds. What a task could not even begin, or
        write, is said once and not tried again."""
        import ray

        if not self.begun:
            return
        ended, _ = ray.wait([*self.begun.values()], num_returns=len(self.begun), timeout=timeout)
        for name, task in list(self.begun.items()):
            if task in ended:
                del self.begun[name]
                try:
                    ray.get(task)
                except ray.exceptions.RayError as error:
                    self.broken.add(name)
                    lines = str(error).strip().splitlines() or [type(error).__name__]
                    self.say(f"{name}: its task ended: {lines[-1]}")
                if self.store:
                    self._fetch(name, self.store)

    def _fetch(self, name: str, store: ObjectStore) -> None:
        """Bring what the store has of a job that has ended to the folder of the study."""
        from ssl_patches.studies.mirrored import fetch

        try:
            if fetch(self.plan, name, store, say=self.say).kind not in ("finished", "failed"):
                self.broken.add(name)
        except (ValueError, OSError) as error:
            self.broken.add(name)
            self.say(f"{name}: not fetched: {error}")

    def cancel(self) -> None:
        """Let every task save and end, as ctrl-C does, and wait for it."""
        import ray

        for task in self.begun.values():
            ray.cancel(task)
        self.say("saving what is in progress")
        self._collect(timeout=PATIENCE)


def run_on_ray(
    plan: Plan,
    *,
    workers: int | None,
    settings: Mapping[str, Any],
    store: ObjectStore | None,
    say: Say,
) -> None:
    """Run a plan on the connected cluster until nothing is left to begin. Interrupted after
    ctrl-C; BadRequest where ``store`` cannot be read."""
    from ssl_patches.studies.launchers import passing_on, watch
    from ssl_patches.studies.mirrored import exchange
    from ssl_patches.studies.worker import Interrupted

    if store:
        exchange(plan, store, say=say)
    tasks = RayTasks(plan, workers=workers, settings=settings, store=store, say=say)
    with passing_on(signal.SIGINT, lambda: None) as came:
        watch(plan, alive=lambda: not came and tasks.going(), say=say)
        if came:
            tasks.cancel()
            raise Interrupted(
                f"stopped; what was in progress is saved below {store.url if store else plan.out};"
                " the same command goes on"
            )


def run_one(
    plan: Plan, name: str, folder: str, path: Sequence[str], store: ObjectStore | None
) -> None:
    """Run what is called ``name`` in a plan to its end, in a worker of Ray.

    ``folder``, ``path``: where the command was given, and what it could import. ``store``: keeps
    the run; None: its folder is seen here. Interrupted when the task was cancelled.
    """
    if Path(folder).is_dir():
        os.chdir(folder)
    sys.path += [place for place in path if place not in sys.path]
    from ssl_patches.studies.mirrored import folder_of_task, log_of, work_mirrored
    from ssl_patches.studies.worker import work_on

    if store is None:
        with _saying_in(Path(plan.out, log_of(name))):
            work_on(plan, name, say=tell)
        return
    with folder_of_task(store, name) as own:
        log = own / log_of(name)
        store.get(log_of(name), log)
        with _saying_in(log):
            work_mirrored(replace(plan, out=str(own)), name, store, say=tell)


@contextmanager
def _saying_in(log: Path) -> Iterator[None]:
    """Add what is printed in the block to a file; this process is for one task alone."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as out:
        sys.stdout = sys.stderr = out
        try:
            tell(f"{time.strftime('%H:%M:%S')}  process {os.getpid()} begins")
            yield
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
