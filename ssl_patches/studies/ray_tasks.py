"""Run each trial, search and run of a study as a task of Ray. Needs the extra ``[ray]``.

Ray places tasks where the processors and GPUs that ``ray.num_cpus`` and ``ray.num_gpus`` state are
free, and starts one again elsewhere when its node is lost; the run then goes on from its last
checkpoint. All nodes see the study's folder under the same path.

The traps: (a) whoever worked on a lost node holds the lock of the run until it has been silent for
``config.locks.SILENCE``, so a task that was started again waits for it; (b) Ray raises
KeyboardInterrupt in a cancelled task by the handler of SIGINT, which is the one that saves; (c) a
Ray that we start asks to report its use, which is switched off.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_patches.config.messages import BadRequest, Say, shown
from ssl_patches.config.plain_text import tell

if TYPE_CHECKING:
    from ssl_patches.studies.jobs import Plan

RULES = {
    "address": "the address of a cluster, auto, or local; give ray.address=auto",
    "num_cpus": "a number from 0, of each run; give ray.num_cpus=4",
    "num_gpus": "a number from 0, of each run, 0.5 shares one; give ray.num_gpus=1",
    "memory_gb": "a number above 0, of each run; give ray.memory_gb=16",
}
"""Words of the command, and what each must be."""
LEAST = {"num_cpus": 0.0, "num_gpus": 0.0, "memory_gb": 1e-3}
PATIENCE_TO_CONNECT = 10.0  # seconds
PATIENCE = 600.0
"""Seconds for the tasks to save after ctrl-C."""


def problems_of_ray(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with ``ray.*`` of the command, a line each."""
    found = []
    for key, value in settings.items():
        if key not in RULES:
            found.append(
                f"ray.{key}: unknown key; there are {', '.join(map('ray.{}'.format, RULES))}"
            )
        elif key == "address":
            good = isinstance(value, str) and value != ""
            found += [] if good else [f"ray.address={shown(value)}: must be {RULES[key]}"]
        elif (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (LEAST[key] <= value < float("inf"))
        ):
            found.append(f"ray.{key}={shown(value)}: must be {RULES[key]}")
    return found


def what_ray_needs() -> list[str]:
    """Return a line on what to install where Ray is not."""
    try:
        found = importlib.util.find_spec("ray")
    except ValueError:  # switched off in sys.modules
        found = None
    return [] if found else ["launcher=ray: needs ray; pip install 'ssl-patches[ray]'"]


def begin_ray(settings: Mapping[str, Any]) -> str:
    """Connect to the cluster that is asked for, or start one on this machine; say which it is.

    BadRequest where no cluster answers, or none of its nodes has what a run is to have.
    """
    import ray

    told = connect(settings.get("address"))
    options = _options(settings)
    wanted = {"CPU": options["num_cpus"], "GPU": options["num_gpus"]}
    wanted |= {"memory": options["memory"]} if "memory" in options else {}
    nodes = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    if lacking := _lacking(wanted, nodes):
        ray.shutdown()
        raise BadRequest([f"ray.num_cpus, ray.num_gpus, ray.memory_gb: {lacking}"])
    return told


def _options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Ray calls the settings of a task."""
    found = {"num_cpus": settings.get("num_cpus", 1), "num_gpus": settings.get("num_gpus", 0)}
    memory = settings.get("memory_gb")
    return found if memory is None else {**found, "memory": memory * 2**30}


class RayTasks:
    """The tasks of a plan on the connected cluster: begun as soon as what they wait for is there.

    ``workers``: at most so many at once; None: as many as the cluster has room for.
    """

    def __init__(
        self, plan: Plan, *, workers: int | None, settings: Mapping[str, Any], say: Say
    ) -> None:
        import ray

        self.plan, self.workers, self.say = plan, workers, say
        self.file = plan.save().resolve()
        # max_calls: a process for each, so that what it held is free again
        remote = ray.remote(max_retries=-1, max_calls=1, **_options(settings))
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
                given = str(self.file), status.name, str(Path.cwd()), list(sys.path)
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

    def cancel(self) -> None:
        """Let every task save and end, as ctrl-C does, and wait for it."""
        import ray

        for task in self.begun.values():
            ray.cancel(task)
        self.say("saving what is in progress")
        self._collect(timeout=PATIENCE)


def run_on_ray(plan: Plan, *, workers: int | None, settings: Mapping[str, Any], say: Say) -> None:
    """Run a plan on the connected cluster until nothing is left to begin. Interrupted after
    ctrl-C."""
    from ssl_patches.studies.launchers import passing_on, watch
    from ssl_patches.studies.worker import Interrupted

    tasks = RayTasks(plan, workers=workers, settings=settings, say=say)
    with passing_on(signal.SIGINT, lambda: None) as came:
        watch(plan, alive=lambda: not came and tasks.going(), say=say)
        if came:
            tasks.cancel()
            raise Interrupted(
                f"stopped; what was in progress is saved below {plan.out}; the same command goes on"
            )


def connect(address: str | None) -> str:
    """Connect to a cluster, and say to which. None: the one of RAY_ADDRESS, or else one that is
    started on this machine for this study. BadRequest where none answers."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no telemetry
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    asked = address or os.environ.get("RAY_ADDRESS", "local")
    if asked == "local":
        ray.init("local", include_dashboard=False, **quiet)
        return "Ray on this machine"
    try:
        _knock(asked)
        ray.init(asked, **quiet)
    except (OSError, ValueError, RuntimeError) as error:  # a ConnectionError is an OSError
        raise BadRequest(
            [
                f"ray.address={asked}: no cluster answers ({str(error).splitlines()[0]}); start one"
                " with `ray start --head`, or leave it out for one on this machine"
            ]
        ) from None
    return f"Ray cluster of {sum(each['Alive'] for each in ray.nodes())} nodes"


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT. Why: Ray tries for eight minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=PATIENCE_TO_CONNECT).close()


def _lacking(wanted: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """Say which nodes there are where none has what is wanted; "" where one has."""
    for node in nodes:
        if all(node.get(key, 0.0) >= value for key, value in wanted.items()):
            return ""
    each = ", ".join(
        f"{node.get('CPU', 0):g} processors and {node.get('GPU', 0):g} GPUs" for node in nodes
    )
    return (
        f"no node of the cluster has what each run is to have; its nodes have {each}; ask for less"
    )


def run_one(file: str, name: str, folder: str, path: Sequence[str]) -> None:
    """Run what is called ``name`` in the plan of a file to its end, in a worker of Ray.

    ``folder``, ``path``: where the command was given, and what it could import. Interrupted when
    the task was cancelled.
    """
    if Path(folder).is_dir():
        os.chdir(folder)
    sys.path += [place for place in path if place not in sys.path]
    from ssl_patches.studies.jobs import read_plan
    from ssl_patches.studies.worker import work_on

    plan = read_plan(Path(file))
    log = Path(plan.out, "logs", f"{re.sub(r'[^A-Za-z0-9_.=-]+', '-', name)}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as out:
        sys.stdout = sys.stderr = out  # this process is for this task alone
        try:
            tell(f"{time.strftime('%H:%M:%S')}  process {os.getpid()} begins")
            work_on(plan, name, say=tell)
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
