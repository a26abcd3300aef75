"""A loss that is no number ends the run at once, and the step that gave it is kept to be looked at.

What is kept is a checkpoint as it stood before the step, and beside it the step, the images and the
seed of every shard. As every draw of a step is a function of (seed, step, shard), that is all it
takes to compute it again, see ``replay``.

Trap: looking at a loss waits for the device. On a CPU nothing waits, and every loss is looked at.
On a GPU a flag is kept there and looked at every ``every`` steps; until then torch's fused
optimisers are told, through the very switch that loss scaling uses (``found_inf``), to leave
everything as it is from the first bad step on. Optimisers without that switch (LARS, LAMB) have
gone on: ``weights_before`` says whether the weights are those before the step. Running statistics
of BatchNorm have seen the step in any case; computing it again does not use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ssl_patches.config.messages import Failed
from ssl_patches.data.module import EndlessBatches, PatchDataModule
from ssl_patches.training.pretrainer import Pretrainer, step_seed


class StopAtNonFinite(L.Callback):
    """Raises Failed after writing ``DIRECTORY/nonfinite-step-N.ckpt``. ``every``: steps between
    looks that wait."""

    def __init__(self, directory: Path, *, every: int) -> None:
        self.directory, self.every = directory, every
        self._first: Tensor | None = (
            None  # () int64 on the device: the first bad step, -1 while there is none
        )
        self._found: dict[str, Any] = {}

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: Pretrainer, optimizer: torch.optim.Optimizer
    ) -> None:
        step, loss = trainer.global_step, module.metrics["loss"]
        bad = (~torch.isfinite(loss)).float()
        if trainer.world_size > 1:  # the gradient of one is that of all
            torch.distributed.all_reduce(bad)
        if self._first is None:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        self._first = torch.where((bad > 0) & (self._first < 0), step, self._first)
        if _can_skip(optimizer):
            optimizer.found_inf = (self._first >= 0).float()
        if loss.device.type == "cpu" or (step + 1) % self.every == 0:
            self._look(trainer, module, step)

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        self._look(trainer, module, trainer.global_step)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: Pretrainer, checkpoint: dict[str, Any]
    ) -> None:
        if self._found:
            checkpoint["nonfinite"] = self._found

    def _look(self, trainer: L.Trainer, module: Pretrainer, step: int) -> None:
        if self._first is None or (first := int(self._first)) < 0:
            return
        self._found = {
            "step": first,
            "weights_before": step == first or _can_skip(trainer.optimizers[0]),
            "progress": module.progress(),
            "shards": shards_of_step(
                trainer.datamodule, first, trainer.accumulate_grad_batches, trainer.world_size
            ),
        }
        path = self.directory / f"nonfinite-step-{first}.ckpt"
        trainer.save_checkpoint(path)
        raise Failed(
            f"step {first}: the loss is no finite number; the step is kept in {path} (its images,"
            " its seeds, the weights before it) and comes again when the run is resumed: start"
            " anew with a lower optimizer.base_lr, optimizer.clip=1 or trainer.precision=fp32"
        )


def _can_skip(optimizer: torch.optim.Optimizer) -> bool:
    return getattr(optimizer, "_step_supports_amp_scaling", False)


def shards_of_step(
    data: PatchDataModule, step: int, accumulate: int, world: int
) -> list[dict[str, Any]]:
    """``seed`` and ``images`` (indices) of each shard of a step."""
    shards = []
    for rank in range(world):
        batches = EndlessBatches(
            length=len(data.train),
            batch_size=data.batch_size,
            seed=data.seed,
            start=step * accumulate,
            rank=rank,
            world=world,
        )
        for turn, images in enumerate(islice(batches, accumulate)):
            shards.append(
                {"seed": step_seed(data.seed, step, turn * world + rank), "images": images}
            )
    return shards


def replay(
    module: Pretrainer, data: PatchDataModule, checkpoint: Mapping[str, Any]
) -> list[Tensor]:
    """The losses of all shards of the step that ``nonfinite-step-N.ckpt`` keeps, once more, by a
    module like the run's.

    With gradients, so that ``loss.backward()`` may follow; under the caller's own autocast, or
    ``linears_in_onednn``, where the run had one.
    """
    found = checkpoint["nonfinite"]
    module.load_state_dict(checkpoint["state_dict"])
    module.train()
    losses = []
    for task in module.tasks.values():
        task.at(found["progress"])
    for shard in found["shards"]:
        torch.manual_seed(shard["seed"])
        losses.append(
            module.losses(
                torch.stack([data.train[index][0] for index in shard["images"]]).to(module.device)
            )[0]
        )
    return losses
