"""Run workers in this process, or in several processes of this machine; slurm.py does so on a
cluster.

A worker process gets the plan as a file and nothing else; its output goes to ``OUT/logs``. What
happened is read from the run directories, as everywhere. The workers are no part of the terminal's
process group: ctrl-C reaches this process only and is passed on, so that it means the same to all
of them. If this process is killed, their standard input ends, and they stop after the step in
progress.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ssl_patches.config.messages import Failed
from ssl_patches.config.plain_text import tell
from ssl_patches.studies import jobs
from ssl_patches.studies.jobs import Plan
from ssl_patches.studies.worker import POLL, Interrupted, JobStatus, Say, job_statuses, work


def here(plan: Plan, *, say: Say) -> None:
    """Run one worker in this process. Interrupted after ctrl-C."""
    work(plan, say=say, wait=True)


def processes(plan: Plan, *, workers: int, say: Say) -> None:
    """Run ``workers`` processes on this machine. Interrupted after ctrl-C."""
    logs = Path(plan.out, "logs")
    logs.mkdir(parents=True, exist_ok=True)
    file, threads = plan.save(), str(max(1, (os.cpu_count() or 1) // workers))
    started = []
    for number in range(workers):
        log = logs / f"worker-{number}.log"
        with log.open("a", encoding="utf-8") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "ssl_patches.studies.launchers", str(file)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    env={"OMP_NUM_THREADS": threads, **os.environ},
                )
            )
    say(f"{workers} workers, {threads} threads each; what they say is in {logs}")

    def interrupt_all() -> None:
        for child in started:
            child.send_signal(signal.SIGINT)

    with passing_on(signal.SIGINT, interrupt_all) as came:
        watch(plan, alive=lambda: any(child.poll() is None for child in started), say=say)
        for child in started:
            child.wait()
    if came:
        raise Interrupted(
            f"stopped; what was in progress is saved below {plan.out}; the same command goes on"
        )


@contextmanager
def passing_on(number: int, act: Callable[[], object]) -> Iterator[list[int]]:
    """Catch a signal: while in the block, signal ``number`` calls ``act`` and nothing else; yields
    a list of those that came."""
    came: list[int] = []

    def handler(*_: object) -> None:
        came.append(number)
        act()

    before = signal.signal(number, handler)
    try:
        yield came
    finally:
        signal.signal(number, before)


def watch(plan: Plan, *, alive: Callable[[], bool], say: Say) -> None:
    """Report what changes in the plan until all is done or no worker is left."""
    known: dict[str, str] = {}
    while True:
        going = alive()  # before looking: what the last worker did is still seen
        for status in job_statuses(plan):
            if known.get(status.name, "missing") != status.state.kind:
                known[status.name] = status.state.kind
                say(_changed(status))
        if not going:
            return
        time.sleep(POLL)


def _changed(status: JobStatus) -> str:
    note = f": {status.state.note}" if status.state.note else ""
    return f"{time.strftime('%H:%M:%S')}  {status.state.kind:8}  {status.name}{note}"


def _stop_when_orphaned() -> None:
    """Ctrl-C to ourselves when standard input ends."""

    def wait() -> None:
        os.read(
            sys.stdin.fileno(), 1
        )  # not sys.stdin.read: a thread that waits in it blocks the end of the process
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main(file: str) -> int:
    """Run a worker process: ``python -m ssl_patches.studies.launchers PLAN``."""
    _stop_when_orphaned()
    try:
        work(
            jobs.read_plan(Path(file)),
            say=partial(tell, file=sys.stderr),
            wait=False,
        )
    except (Failed, KeyboardInterrupt) as error:
        tell(str(error), sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
