"""Compute a training step: views -> sum over parts of task(sampler, encoder) -> metrics.

The path image -> loss is ``Pretrainer.losses``.

Every random draw of a step is a function of (seed, step, shard): the generators are seeded at its
start. A resumed run thus repeats the unbroken one bit for bit and checkpoints need no generator
states. A shard is what one process computes at once of a step's images; two processes with one
shard each and one process with two (``trainer.accumulate=2``) draw the same and see the same
images, so that they are one run, statistics of BatchNorm (always those of a shard) included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import lightning as L
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ssl_patches.encoders.base import Encoder
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.training.fsdp import shard
from ssl_patches.training.lightning_private import count_shards_anew
from ssl_patches.training.optim import OptimizerConfig
from ssl_patches.training.spread import Spread
from ssl_patches.types import ImageBatch


@dataclass(frozen=True)
class Part:
    """A pretext task with its sampler and its weight in the loss of a mixture."""

    name: str
    sampler: nn.Module
    task: PretextTask
    weight: float = 1.0


class Pretrainer(L.LightningModule):
    """The module that trains: one encoder on the weighted sum of its pretext tasks.

    ``steps``: length of the run, None when ``seconds`` decide. ``batch_size``: images per step, of
    all processes. ``origin``: what decides the meaning of the weights, kept in checkpoints.
    """

    recipe: OptimizerConfig
    spread: Spread | None
    ema: nn.Module | None

    def __init__(
        self,
        *,
        encoder: Encoder,
        parts: Sequence[Part],
        views: nn.Module,
        recipe: OptimizerConfig,
        batch_size: int,
        seed: int = 0,
        steps: int | None = None,
        seconds: float | None = None,
        origin: Mapping[str, Any] | None = None,
        spread: Spread | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.views, self.recipe = encoder, views, recipe
        self.spread = spread
        self.spread_ratios: list[Tensor] = []  # of the parts and shards of the step in progress
        self.samplers = nn.ModuleDict({part.name: part.sampler for part in parts})
        self.tasks = nn.ModuleDict({part.name: part.task for part in parts})
        self.weights = {part.name: part.weight for part in parts}
        self.name = "+".join(part.name for part in parts)
        self.batch_size, self.seed, self.steps, self.seconds = batch_size, seed, steps, seconds
        self.origin = dict(origin or {})
        self.ema = None  # see ``callbacks.ema``
        self.steps_done = 0
        self.spent = 0.0  # seconds of training, kept over resumes
        # of the last step, on the device: reading them costs a host sync
        self.metrics: dict[str, Tensor] = {}
        self._since = 0.0

    def named_parts(self) -> Iterator[tuple[str, PatchSampler, PretextTask]]:
        """Yield name, sampler and task of each part of the mixture."""
        for name, task in self.tasks.items():
            yield name, cast(PatchSampler, self.samplers[name]), cast(PretextTask, task)

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch: views, then the weighted sum of all tasks.

        ``images`` (B, C, H, W) uint8 -> loss (), and detached metrics () by name.
        """
        views = self.views(images)
        total = torch.zeros((), device=self.device)
        metrics: dict[str, Tensor] = {}
        for name, sampler, task in self.named_parts():
            output = task(sampler(views), self.encoder)
            total = total + self.weights[name] * output.loss
            prefix = f"{name}/" if len(self.tasks) > 1 else ""
            metrics |= {f"{prefix}{key}": value for key, value in output.metrics.items()}
            if self.spread is not None and output.features is not None:
                extra, penalty, ratio = self.spread(
                    output.loss, output.features, step=self.global_step
                )
                self.spread_ratios += [] if ratio is None else [ratio]
                total = total + self.weights[name] * extra
                metrics[f"{prefix}log_det"] = penalty
        return total, {"loss": total.detach(), **metrics}

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Return the loss of a shard, a scalar."""
        loss, metrics = self.losses(batch.images)
        self.keep_metrics(metrics, batch_idx)
        return loss

    def keep_metrics(self, metrics: Mapping[str, Tensor], batch_idx: int) -> None:
        """Keep the metrics of a shard; of a step in several shards their mean, like the gradient.

        ``metrics``: () each. ``batch_idx``: shards before this one.
        """
        shards = self.trainer.accumulate_grad_batches
        if shards > 1:
            before = self.metrics if batch_idx % shards else {}
            metrics = {key: value / shards + before.get(key, 0) for key, value in metrics.items()}
        self.metrics = dict(metrics)

    def on_train_batch_end(self, *_: object) -> None:
        """Count steps, and stop where the time is used up."""
        self.steps_done = self.global_step
        if self.steps is None and self.progress() >= 1:
            self.trainer.should_stop = True

    def progress(self) -> float:
        """Return the share of the budget that is used, 0..1."""
        if self.steps is not None:
            return min(1.0, self.global_step / self.steps)
        return min(1.0, self.seconds_spent() / self.seconds) if self.seconds else 0.0

    def seconds_spent(self) -> float:
        """Return the seconds of training so far, those before a resume included."""
        return self.spent + (time.monotonic() - self._since if self._since else 0.0)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_train_end(self) -> None:
        """Stop the clock."""
        self.spent, self._since = self.seconds_spent(), 0.0

    def on_train_batch_start(self, batch: ImageBatch, batch_idx: int) -> None:
        """Seed the draws of the shard, and set the learning rate of the step."""
        shard = (
            batch_idx % self.trainer.accumulate_grad_batches * self.trainer.world_size
            + self.global_rank
        )
        torch.manual_seed(step_seed(self.seed, self.global_step, shard))
        progress = self.progress()
        for _, _, task in self.named_parts():
            task.at(progress)
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            group["lr"] = (
                self.recipe.peak_lr(self.batch_size)
                * self.recipe.lr_multiplier(progress)
                * group.get("lr_scale", 1.0)
            )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient and keep its norm; tell the encoder what the step has shown."""
        blind = len(self.tasks) > 0 and all(task.always_blind for _, _, task in self.named_parts())
        self.encoder.note_training(placed=not blind)
        if self.spread is not None:
            self.spread.settle(self.spread_ratios, step=self.global_step)
            self.spread_ratios.clear()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.recipe.clip:  # here, because Lightning does not clip for fused optimisers
            norm = nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self.metrics["gradient_norm"] = norm.full_tensor() if isinstance(norm, DTensor) else norm

    def configure_model(self) -> None:
        """Divide the model among processes where the strategy is FSDP2."""
        if self.device_mesh is not None:
            # torch would want a state of the optimiser for a parameter that no step has used
            self.strict_loading = False
            shard(self.encoder, self.tasks.values(), self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimiser of encoder and tasks."""
        return self.recipe.optimizer([self.encoder, self.tasks], batch_size=self.batch_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs to know of this one."""
        checkpoint["seconds"], checkpoint["origin"] = self.seconds_spent(), self.origin
        checkpoint["batch_size"] = self.batch_size

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over time, steps and shards of the run that is resumed."""
        self.spent, self.steps_done = checkpoint["seconds"], checkpoint["global_step"]
        match_average(checkpoint.get("state_dict", {}), kept=self.ema is not None)
        count_shards_anew(
            checkpoint, checkpoint["global_step"] * self.trainer.accumulate_grad_batches
        )


def match_average(state: dict[str, Any], *, kept: bool) -> None:
    """Drop or begin the average of the encoder in a checkpoint's ``state_dict``, in place.

    A run may take an average up (``callbacks.ema``) when it is resumed, or let it go. ``kept``:
    this run keeps one.
    """
    for key in [key for key in state if key.startswith("ema.") and not kept]:
        del state[key]
    if kept and not any(key.startswith("ema.") for key in state):
        state |= {
            key.replace("encoder.", "ema.", 1): value
            for key, value in state.items()
            if key.startswith("encoder.")
        }


def step_ended(trainer: L.Trainer, batch_idx: int) -> bool:
    """Say whether this is the last shard of a step (``on_train_batch_end`` comes after each)."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def step_seed(seed: int, step: int, shard: int) -> int:
    """Return a 63-bit seed for each (seed, step, shard).

    An odd multiplier spreads them, so that neighbours share nothing.
    """
    return ((seed * 1_000_003 + step) * 1_000_003 + shard) * 0x9E3779B97F4A7C15 & (2**63 - 1)
