"""Derive the callbacks of our runs from ``Observer``: hooks get a ``Pretrainer`` and its data."""

from __future__ import annotations

import lightning as L

from ssl_patches.data.module import PatchDataModule
from ssl_patches.training.pretrainer import Pretrainer, step_ended


class Observer(L.Callback):
    """A callback of a run; ``on_step_end`` comes after each step, however many shards it has.

    Lightning promises its hooks any LightningModule. The trainer of a run has a Pretrainer and
    nothing else calls them, so hooks may ask for one (pyproject.toml tells mypy).
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Pretrainer, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Come after each shard of a step."""
        if step_ended(trainer, batch_idx):
            self.on_step_end(trainer, module)

    def on_step_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Come after each step."""


def data_of(trainer: L.Trainer) -> PatchDataModule:
    """Return the data of the run that a trainer trains on."""
    return trainer.datamodule  # type: ignore[attr-defined] # set by Lightning when a fit begins
