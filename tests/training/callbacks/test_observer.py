"""Hooks of a run come after whole steps."""

from __future__ import annotations

from types import SimpleNamespace

from ssl_patches.training.callbacks.observer import Observer, data_of


def test_on_step_end_comes_after_the_last_shard_only() -> None:
    class Counting(Observer):
        steps = 0

        def on_step_end(self, trainer, module) -> None:
            self.steps += 1

    counting, trainer = Counting(), SimpleNamespace(accumulate_grad_batches=3)
    for shard in range(7):
        counting.on_train_batch_end(trainer, None, None, None, shard)
    assert counting.steps == 2


def test_data_are_those_of_the_fit() -> None:
    assert data_of(SimpleNamespace(datamodule="data")) == "data"
