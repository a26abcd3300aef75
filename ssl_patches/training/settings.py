"""Hold the settings of how a run is executed; apart, because checking a request must not wait for
Lightning.

A step may be divided: ``accumulate`` shards one after the other on each of ``devices * nodes``
processes, of ``data.batch_size`` images each. How it is divided changes neither the images of a
step nor what is drawn for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ssl_patches.config.native_bf16 import native_bf16
from ssl_patches.training.onednn import quicker_in_onednn

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""Our names -> Lightning's."""


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Settings of how a run is executed.

    None of them changes what is learned but ``precision`` and the images per step. ValueError where
    one is out of range, or this machine lacks what it asks for.

    ``precision``: auto takes bf16 where the hardware multiplies it natively. Why: fp32 is the same
    arithmetic everywhere.
    ``device``: auto takes a GPU when there is one. Why: nobody has a GPU to leave idle.
    ``devices``: processes per node, one GPU or CPU process each. Why: one needs no launcher.
    ``nodes``: as torchrun or Slurm starts them. Why: as for devices.
    ``strategy``: ddp copies the model to each process, fsdp (FSDP2) divides it among them. Why:
    copies are faster as long as the model fits. ``accumulate``: shards per step and process, of
    data.batch_size images each. Why: more is for batches that do not fit into memory.
    ``compile``: torch.compile the tasks, encoder included. Why: the first step waits for it, short
    runs lose by it.
    ``onednn``: linear maps of an fp32 step by oneDNN where this is quicker, see ``onednn``. Why:
    the same accuracy in less time; false is torch's own.
    ``ema``: decay of an average of the encoder that checkpoints hold beside it (0.999), 0 for none.
    Why: it is a copy of the encoder in memory, and not in the papers of the tasks.
    ``log_every``: steps between rows of metrics.csv. Why: each row waits for the device.
    ``checkpoint_minutes``: minutes between checkpoints; there is one at the end, too. Why: what a
    kill may cost.
    ``checkpoint_steps``: steps between checkpoints, 0: not by steps. Why: minutes are what is lost.
    ``checkpoints_kept``: how many of the newest, the last one included. Why: a last one that
    diverged has one before it.
    """

    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"
    accumulate: int = 1
    compile: bool = False
    onednn: bool = True
    ema: float = 0.0
    log_every: int = 20
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int = 0
    checkpoints_kept: int = 2

    def __post_init__(self) -> None:
        at_least = {
            "devices": 1,
            "nodes": 1,
            "accumulate": 1,
            "log_every": 1,
            "checkpoint_minutes": 0,
        }
        for key, low in {**at_least, "checkpoint_steps": 0, "checkpoints_kept": 1}.items():
            if not vars(self)[key] >= low:
                raise ValueError(
                    f"trainer.{key}={vars(self)[key]}: must be {low} or more; set"
                    f" trainer.{key}={max(low, 1)}"
                )
        if not 0 <= self.ema < 1:
            raise ValueError(
                f"trainer.ema={self.ema}: a decay from 0 (no average) to below 1; set"
                " trainer.ema=0.999"
            )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                "trainer.device=cuda: this machine shows torch no CUDA device; set"
                " trainer.device=auto"
            )
        if self.accelerator == "gpu" and self.devices > torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise ValueError(
                f"trainer.devices={self.devices}: this machine has {count} GPUs; set"
                f" trainer.devices={count}"
            )
        if self.strategy == "fsdp" and self.processes == 1:
            raise ValueError(
                "trainer.strategy=fsdp: divides a model among processes; set trainer.devices=2 or"
                " strategy=ddp"
            )
        if self.strategy == "fsdp" and (self.ema or self.compile):
            key = "ema" if self.ema else "compile"
            raise ValueError(
                f"trainer.strategy=fsdp, trainer.{key}={vars(self)[key]}: are not supported"
                f" together; take trainer.{key} out, or set trainer.strategy=ddp"
            )

    @property
    def processes(self) -> int:
        """Return the number of processes in all."""
        return self.devices * self.nodes

    @property
    def accelerator(self) -> str:
        """Return Lightning's word for the device: gpu or cpu."""
        return (
            "gpu"
            if self.device == "cuda" or (self.device == "auto" and torch.cuda.is_available())
            else "cpu"
        )

    def resolved_precision(self) -> tuple[Literal["fp32", "bf16"], str]:
        """Return the precision to compute in, and in words why."""
        if self.precision != "auto":
            return self.precision, "as asked"
        native = native_bf16(self.accelerator)
        if native:
            return "bf16", f"auto: {native}; trainer.precision=fp32 turns it off"
        what = "GPU" if self.accelerator == "gpu" else "CPU"
        return "fp32", f"auto: this {what} has no bf16 arithmetic of its own, which would be slower"

    def onednn_reason(self) -> str | None:
        """Say in words why linear maps go to oneDNN (see ``onednn``); None where they do not."""
        # compiled steps call it by themselves
        plain = not self.onednn or self.compile or self.strategy == "fsdp"
        if plain or self.accelerator != "cpu" or self.resolved_precision()[0] != "fp32":
            return None
        return quicker_in_onednn()


def compile_in_place(tasks: Iterable[nn.Module]) -> None:
    """Compile each task with torch.compile, the encoder that it calls included.

    Keys of the state dict stay as they are.
    """
    for task in tasks:
        task.compile(dynamic=False)
