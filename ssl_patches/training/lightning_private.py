"""Reach the two places where Lightning leaves no public way; everything private of it is named
here.

``pyproject.toml`` admits only the minor version whose source was read (2.6), and
``tests/training/test_lightning_private.py`` fails where a name has moved.
"""

from __future__ import annotations

from typing import Any

import lightning as L


def without_sigterm_broadcast(trainer: L.Trainer) -> None:
    """Take out the exchange of SIGTERM between processes that Lightning makes in every step.

    Why: it waits for the device (``.item()``), which a step otherwise never does, and ``Stop`` asks
    the processes itself, every ``trainer.log_every`` steps. No argument of ``Trainer`` turns it
    off (``_TrainingEpochLoop.advance`` in lightning 2.6).
    """
    # mypy: a method is replaced, and that is the point
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore


def count_shards_anew(checkpoint: dict[str, Any], shards: int) -> None:
    """Make the loops of a checkpoint count ``shards`` batches done, in place.

    Why: Lightning counts batches (our shards) and steps apart. A run that is resumed with another
    ``trainer.accumulate`` has done another number of shards in the same number of steps, and would
    end its first step too early or too late. A checkpoint is the only public place of the counts.
    """
    counted = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if counted["current"]["ready"] == shards:
        return
    for counts in (counted["total"], counted["current"]):
        counts.update(ready=shards, started=shards, processed=shards, completed=shards - 1)
