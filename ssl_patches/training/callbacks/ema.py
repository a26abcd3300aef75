"""Keep an exponential moving average of the encoder beside it, never trained with.

Checkpoints hold it, and it is exported on demand.
Averaged weights are those of a longer, slower training (Polyak & Juditsky 1992; Morales-Brotons et
al. 2024). The average itself is timm's. In a checkpoint it is the keys ``ema.*`` of
``state_dict``, with the same names behind the prefix as ``encoder.*``: an encoder loads them as it
loads its own.

Traps: (a) the average of a network that has just begun is mostly its initial weights, so the decay
grows with the step, ``min(decay, (1 + step) / (10 + step))``; (b) Lightning's callback for this
puts the average under the names of the trained weights in checkpoints, so that a reader cannot know
which he has.
"""

from __future__ import annotations

from typing import Any

import lightning as L
from timm.utils import ModelEmaV3

from ssl_patches.training.callbacks.observer import Observer
from ssl_patches.training.pretrainer import Pretrainer


class EncoderAverage(Observer):
    """A callback that keeps ``module.ema``, an average of ``module.encoder`` over steps.

    ``decay``: share of the old average in the new one, 0..1, once it has grown.
    """

    def __init__(self, *, decay: float) -> None:
        self.decay = decay
        self._average: ModelEmaV3 | None = None

    def setup(self, trainer: L.Trainer, module: Pretrainer, stage: str) -> None:
        """Begin with a copy of the encoder."""
        self._average = WarmedAverage(module.encoder, decay=self.decay)
        module.ema = self._average.module.requires_grad_(False).train()

    def on_step_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Follow the encoder after each step."""
        if self._average is not None:
            self._average.update(module.encoder, step=trainer.global_step)

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: Pretrainer, checkpoint: dict[str, Any]
    ) -> None:
        """Copy what an encoder counts or notes about its training: it is as true of its average."""
        state = checkpoint["state_dict"]
        notes = {
            key: value
            for key, value in state.items()
            if key.startswith("encoder.") and not value.is_floating_point()
        }
        state.update({key.replace("encoder.", "ema.", 1): value for key, value in notes.items()})


class WarmedAverage(ModelEmaV3):
    """timm's average of weights and floating-point buffers, with a decay that grows faster."""

    def get_decay(self, step: int | None = None) -> float:
        """Return the share of the old average after ``step`` steps."""
        return self.decay if step is None else min(self.decay, (1 + step) / (10 + step))
