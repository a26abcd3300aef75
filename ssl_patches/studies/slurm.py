"""Run workers as the tasks of a Slurm array, through submitit. Needs the extra ``[launchers]``.

Before its time is up, or when it is preempted, Slurm signals a job (submitit asks for SIGUSR2,
``slurm.signal_delay_s`` before the end). The worker then does what ctrl-C does, saves after the
step in progress, and only then lets submitit's own handler requeue the job, which goes on from that
checkpoint. Slurm starts a requeued job after about two minutes.

The traps: (a) submitit's handler, called at the signal, requeues without saving: it is put off to
the end; (b) without accounting a cancelled job is never reported to whoever submitted it, so nobody
waits for results here: states are read from the run directories, and the queue is asked whether any
job is left; (c) Lightning finds the signal handlers taken and leaves them alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_patches.config.messages import BadRequest, Failed
from ssl_patches.config.plain_text import in_lines, tell

if TYPE_CHECKING:
    from ssl_patches.studies.jobs import Plan

SIGNAL = signal.SIGUSR2
RESTARTS = 1000  # time-outs after which submitit gives up; the budget ends a study, not these
SHARED = ("timeout_min", "cpus_per_task", "mem_gb", "gpus_per_node", "nodes")
"""Settings that submitit has for every kind of cluster; all others are ``slurm_*``."""


class Worker:
    """The work of an array task on the plan in ``file``, repeated after a requeue."""

    def __call__(self, file: Path) -> int:
        os.environ.setdefault(
            "OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1")
        )  # read when torch is loaded
        requeue, came = signal.getsignal(SIGNAL), []

        def save_first(number: int, _: object) -> None:
            came.append(number)
            os.kill(os.getpid(), signal.SIGINT)

        signal.signal(SIGNAL, save_first)
        try:
            from ssl_patches.studies import jobs
            from ssl_patches.studies.worker import work

            work(
                jobs.read_plan(file),
                say=partial(tell, file=sys.stderr),
                wait=False,
            )
        except (Failed, KeyboardInterrupt) as error:
            if not came or not callable(requeue):
                raise
            tell(in_lines([str(error), "asks to be requeued"]), sys.stderr)
            requeue(SIGNAL, None)  # ends the process
        return 0

    def checkpoint(self, file: Path) -> Any:
        """Return what submitit's handler runs after a requeue."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, file)


def check_slurm() -> None:
    """Refuse where there is no Slurm or no submitit: BadRequest."""
    if shutil.which("sbatch") is None:
        raise BadRequest(
            [
                "launcher=slurm: there is no sbatch on this machine; give workers=N, or go to a"
                " login node"
            ]
        )
    try:
        import submitit  # noqa: F401
    except ModuleNotFoundError:
        raise BadRequest(
            ["launcher=slurm: needs submitit; pip install 'ssl-patches[launchers]'"]
        ) from None


def submit(plan: Plan, *, workers: int, settings: Mapping[str, Any]) -> str:
    """Submit the array and return its job id. BadRequest for settings that submitit or Slurm
    refuse."""
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.AutoExecutor(
        folder=Path(plan.out, "slurm").resolve(), cluster="slurm", slurm_max_num_timeout=RESTARTS
    )
    given = {key if key in SHARED else f"slurm_{key}": value for key, value in settings.items()}
    try:
        executor.update_parameters(name=plan.name, slurm_array_parallelism=workers, **given)
        jobs = executor.map_array(Worker(), [plan.save().resolve()] * workers)
    except (NameError, AssertionError) as error:
        raise BadRequest([f"slurm.*: {str(error).splitlines()[0]}"]) from None
    except FailedJobError as error:
        raise BadRequest(
            [f"slurm.*: sbatch refused the job: {' '.join(str(error).split())}"]
        ) from None
    return jobs[0].job_id.partition("_")[0]


def in_queue(job_id: str) -> bool:
    """Tell whether any task of the array is waiting or running."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--jobs", job_id, "--format=%T"],
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(asked.stdout.strip())
