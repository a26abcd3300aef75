"""An exponential moving average of the encoder beside it: held by checkpoints, exported on demand,
never trained with.

Averaged weights are those of a longer, slower training (Polyak & Juditsky 1992; Morales-Brotons et
al. 2024). In a checkpoint they are the keys ``ema.*`` of ``state_dict``, with the same names behind
the prefix as ``encoder.*``: an encoder loads them as it loads its own.

Traps: (a) the average of a network that has just begun is mostly its initial weights, so the decay
grows with the step, ``min(decay, (1 + step) / (10 + step))``; (b) Lightning's callback for this
puts the average under the names of the trained weights in checkpoints, so that a reader cannot know
which he has.
"""

from __future__ import annotations

import copy
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from ssl_patches.training.pretrainer import Pretrainer, step_ended


class EncoderAverage(L.Callback):
    """Keeps ``module.ema``, a copy of ``module.encoder`` that follows it with ``decay`` after every
    step."""

    def __init__(self, *, decay: float) -> None:
        self.decay = decay
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def setup(self, trainer: L.Trainer, module: Pretrainer, stage: str) -> None:
        module.ema = copy.deepcopy(module.encoder).requires_grad_(False)

    def on_train_start(self, trainer: L.Trainer, module: Pretrainer) -> None:
        self._pairs = list(zip(tensors(module.ema), tensors(module.encoder), strict=True))

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Pretrainer, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if step_ended(trainer, batch_idx):
            follow(self._pairs, decay=warmed(self.decay, trainer.global_step))

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: Pretrainer, checkpoint: dict[str, Any]
    ) -> None:
        """What an encoder counts or notes about its training is as true of its average."""
        state = checkpoint["state_dict"]
        notes = {
            key: value
            for key, value in state.items()
            if key.startswith("encoder.") and not value.is_floating_point()
        }
        state.update({key.replace("encoder.", "ema.", 1): value for key, value in notes.items()})


def warmed(decay: float, step: int) -> float:
    """The decay after ``step`` steps."""
    return min(decay, (1 + step) / (10 + step))


def tensors(module: nn.Module) -> list[Tensor]:
    """Parameters, and the buffers that checkpoints hold (statistics of norms), without
    gradients."""
    return list(module.state_dict().values())


@torch.no_grad()
def follow(pairs: list[tuple[Tensor, Tensor]], *, decay: float) -> None:
    """Of each pair the first becomes ``decay`` times itself and the rest of the second; counts are
    copied."""
    moving = [(average, own) for average, own in pairs if average.is_floating_point()]
    torch._foreach_lerp_([average for average, _ in moving], [own for _, own in moving], 1 - decay)
    for average, own in pairs:
        if not average.is_floating_point():
            average.copy_(own)
