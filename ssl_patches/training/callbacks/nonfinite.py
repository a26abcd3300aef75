"""End a run at the first loss that is no finite number, and keep the step that gave it.

What is kept is a checkpoint, and in it the step, the images and the seed of every shard. As every
draw of a step is a function of (seed, step, shard), that is all it takes to compute the step again:
``experiments/replay_step.py`` does.

Trap: looking at a loss waits for the device. On a CPU nothing waits, and every loss is looked at
before its step is taken. On a GPU a flag is kept there and looked at every ``every`` steps, so the
weights may be those of some steps later: ``weights_before`` says whether they are. It is looked at
before any checkpoint is written, so that spoilt weights never replace good ones.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ssl_patches.config.messages import Failed
from ssl_patches.data.module import EndlessBatches
from ssl_patches.data.order import order_of
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.training.callbacks.observer import Observer, data_of
from ssl_patches.training.pretrainer import Pretrainer, step_seed


class NonFinite(Failed):
    """A run ended at a loss that is no finite number."""


class StopAtNonFinite(Observer):
    """A callback that raises NonFinite at a loss that is no finite number.

    It writes ``DIRECTORY/nonfinite-step-N.ckpt`` before. ``every``: steps between looks at the
    losses where a look waits for the device.
    """

    def __init__(self, directory: Path, *, every: int) -> None:
        self.directory, self.every = directory, every
        # () int64 on the device: the first bad step, -1 while there is none
        self._first: Tensor | None = None
        self._found: dict[str, Any] = {}

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: Pretrainer, optimizer: torch.optim.Optimizer
    ) -> None:
        """Note on the device whether the loss is finite; look where that does not wait."""
        step, loss = trainer.global_step, module.metrics["loss"]
        bad = (~torch.isfinite(loss)).float()
        if trainer.world_size > 1:  # the gradient of one is that of all
            torch.distributed.all_reduce(bad)
        if self._first is None:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        self._first = torch.where((bad > 0) & (self._first < 0), step, self._first)
        if loss.device.type == "cpu" or (step + 1) % self.every == 0:
            self._look(trainer, module, step)

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Look a last time."""
        self._look(trainer, module, trainer.global_step)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: Pretrainer, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse a checkpoint of spoilt weights, and add what was found to the one that is kept."""
        if not self._found:
            self._look(trainer, module, trainer.global_step)
        else:
            checkpoint["nonfinite"] = self._found

    def _look(self, trainer: L.Trainer, module: Pretrainer, step: int) -> None:
        if self._first is None or (first := int(self._first)) < 0:
            return
        self._found = {
            "step": first,
            "weights_before": step == first,
            "progress": module.progress(),
            "shards": shards_of_step(
                data_of(trainer), first, trainer.accumulate_grad_batches, trainer.world_size
            ),
        }
        path = self.directory / f"nonfinite-step-{first}.ckpt"
        trainer.save_checkpoint(path)
        weights = "the weights before it" if step == first else f"the weights of step {step}"
        raise NonFinite(
            f"step {first}: the loss is no finite number; the step is kept in {path} (its images,"
            f" its seeds, {weights}) and comes again when the run is resumed: start"
            " anew with a lower optimizer.base_lr, optimizer.clip=1 or trainer.precision=fp32"
        )


def shards_of_step(
    data: PatchDataModule, step: int, accumulate: int, world: int
) -> list[dict[str, Any]]:
    """List ``seed`` and ``images`` (indices) of each shard of a step.

    ``accumulate``: shards per process. ``world``: number of processes.
    """
    shards = []
    for rank in range(world):
        batches = EndlessBatches(
            length=len(data.train),
            batch_size=data.batch_size,
            seed=data.seed,
            start=step * accumulate,
            rank=rank,
            world=world,
            order=order_of(data.train, data.seed, rule=data.order),
        )
        for turn, images in enumerate(islice(batches, accumulate)):
            seed = step_seed(data.seed, step, turn * world + rank)
            shards.append({"seed": seed, "images": images})
    return shards
