"""Start the processes of a run from its saved configuration, or find those of torchrun or Slurm.

Lightning starts children by running the command line again, which a sub-command, a notebook or
Hydra's multirun breaks (the child takes the whole sweep for its own). Ours run ``python -m
ssl_patches.training.worker RUN_DIR/config.yaml``: what they are told is what the run directory
says. To Lightning they look as if somebody else had started them. torchrun, where it is typed, may
start all; it is not called from here, because it would start a process more than the run has (this
one, which holds images and model already), and kills what has not stopped within 30 s of a signal:
a long step would be lost.

Traps: (a) inside a Slurm allocation without ``srun`` there is one process, whatever SLURM_NTASKS
says, and Lightning would wait for the others for ever: the tasks of the *step* count; (b)
rendezvous variables that are left behind make the second run of a program join the first; (c) when
a child dies, its siblings wait in a collective that nothing ends.
"""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch.distributed
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor

from ssl_patches.config.plain_text import tell
from ssl_patches.data.index.listing import handed
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.settings import TrainerSettings

OURS = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK")
CHILD_SECONDS = 60  # that a child may take to leave after the last step


def started_outside() -> int:
    """Count the processes of this run that torchrun or srun started; 1 where nobody did."""
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hint to use srun wherever it is installed
        return int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) if SLURMEnvironment.detect() else 1


def environment() -> ClusterEnvironment:
    """Tell Lightning who started the processes."""
    if started_outside() == 1:
        return LightningEnvironment()
    return (
        TorchElasticEnvironment()
        if TorchElasticEnvironment.detect()
        else SLURMEnvironment(auto_requeue=False)
    )


def is_follower() -> bool:
    """Say whether this process follows another: true in all but global rank 0.

    Those that follow train along and write nothing.
    """
    outside = started_outside() > 1
    name = (
        "LOCAL_RANK"
        if not outside
        else "RANK"
        if TorchElasticEnvironment.detect()
        else "SLURM_PROCID"
    )
    return int(os.environ.get(name, 0)) > 0


def check_processes(settings: TrainerSettings, *, run_dir: str | None) -> None:
    """Raise ValueError where the processes asked for and those started differ."""
    found, wanted = started_outside(), settings.processes
    if found == wanted > 1 and run_dir is None:
        raise ValueError(
            f"run_dir: {found} processes were started and need one and the same; give run_dir=DIR"
        )
    if found > 1 and found != wanted:
        raise ValueError(
            f"trainer.devices={settings.devices}, trainer.nodes={settings.nodes}: {found} processes"
            f" were started, these are {wanted}; set trainer.devices={found // settings.nodes}"
            " (processes per node) and trainer.nodes"
        )
    if (
        found > 1
        and not TorchElasticEnvironment.detect()
        and "SLURM_NTASKS_PER_NODE" not in os.environ
    ):
        raise ValueError(
            f"trainer.devices={settings.devices}: give srun --ntasks-per-node={settings.devices},"
            " not --ntasks"
        )
    if found == 1 and settings.nodes > 1:
        raise ValueError(
            f"trainer.nodes={settings.nodes}: start the processes with torchrun or srun, or set"
            " trainer.nodes=1"
        )


def has_unused_parameters(module: Pretrainer, images: Tensor) -> bool:
    """Say whether a step leaves parameters without a gradient; tried on a copy.

    Such as the vector for tiles without a place when all have one. ``images`` (B, C, H, W) uint8.
    """
    copied = copy.deepcopy(module).train()
    with torch.random.fork_rng([]):
        copied.losses(images)[0].backward()
    return any(
        parameter.requires_grad and parameter.grad is None for parameter in copied.parameters()
    )


def strategy(settings: TrainerSettings, *, partial: bool) -> Strategy | str:
    """Choose Lightning's strategy.

    ``partial``: see ``has_unused_parameters``; DDP then has to look for those in every step.
    """
    if settings.processes == 1:
        return "auto"
    if settings.strategy == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=settings.processes,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
        )
    return DDPStrategy(find_unused_parameters=partial)


@contextmanager
def start_processes(settings: TrainerSettings, config: Path) -> Iterator[None]:
    """Keep all processes of a run alive within the block, and end them after it.

    ``config``: path of the ``config.yaml`` that the others read. Nothing is started where there is
    one process, or torchrun or Slurm has started all. After the block what connected the processes
    is gone too.
    """
    if settings.processes == 1 or started_outside() > 1 or is_follower():
        yield
        return
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
    before = {name: os.environ.get(name) for name in OURS}
    os.environ.update(address, WORLD_SIZE=str(settings.processes), LOCAL_RANK="0")
    command = [sys.executable, "-m", "ssl_patches.training.worker", str(config)]
    # a child finds the user's own classes where we did
    python_path = os.pathsep.join(filter(None, sys.path))
    children = [
        subprocess.Popen(
            command,
            env={**os.environ, **handed(), "LOCAL_RANK": str(rank), "PYTHONPATH": python_path},
        )
        for rank in range(1, settings.devices)
    ]
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(children, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in OURS:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for child in children:
            try:
                child.wait(CHILD_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _watch(children: Sequence[subprocess.Popen], over: threading.Event) -> None:
    """End this process when a child failed: it waits for that child, and nothing can wake it."""
    while not over.wait(0.5):
        failed = [child for child in children if child.poll()]
        # unless all stop together and this process says why
        if failed and not over.wait(CHILD_SECONDS):
            tell(
                f"a process of the run ended with exit code {failed[0].returncode}; see above",
                file=sys.stderr,
            )
            for child in children:
                child.kill()
            os._exit(1)
