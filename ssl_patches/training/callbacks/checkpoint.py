"""Write checkpoints that a kill at any moment leaves whole: aside, then renamed.

``last.ckpt`` is always complete.

A checkpoint is on the disk before it gets its name, and only then the oldest one goes: neither a
full disk nor a power cut costs the last good one. Trap: Lightning builds a checkpoint in memory a
second time and writes it to the system's folder for temporary files first, which is another disk as
a rule and often a small one; ``DirectCheckpointIO`` does neither.

By hand and not by Lightning's ``ModelCheckpoint`` (2.6), because that one removes ``last.ckpt``
before it links it anew, takes either minutes or steps, keeps the newest only by a metric, and may
save in the middle of a step of several shards.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ssl_patches.config.atomic import HALF, replacing
from ssl_patches.config.messages import Failed
from ssl_patches.config.run_dir import point_at, steps_in
from ssl_patches.training.pretrainer import step_ended

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DirectCheckpointIO(TorchCheckpointIO):
    """Lightning's writer of checkpoints, straight to the file; ``Checkpoints`` flushes it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write a checkpoint. OSError where the system refuses."""
        with open(path, "wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                # torch's writer says "unexpected pos" where the system has said why
                cause = error.__context__
                raise (cause if isinstance(cause, OSError) else error) from None


@contextmanager
def disk_full_guard(run_dir: Path, last: Path) -> Iterator[None]:
    """Turn a full disk within the block into Failed, which says what is left and how to go on.

    ``last``: path of the last checkpoint.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        left = f"{last} is whole" if last.exists() else "nothing was saved before"
        raise Failed(
            f"{run_dir}: cannot be written ({error.strerror}); {left}; make room", run_dir
        ) from error


class Checkpoints(L.Callback):
    """A callback that writes ``step-N.ckpt`` and points ``last.ckpt`` at it.

    Every ``minutes``, every ``steps`` (0: not by steps), at the end, and when training is
    interrupted. The newest ``keep`` are kept.

    Several processes must save after the same step: whether it is time is asked every ``every``
    steps, of the first.
    """

    def __init__(
        self, directory: Path, *, minutes: float, steps: int, keep: int, every: int = 1
    ) -> None:
        self.directory, self.minutes, self.steps, self.keep, self.every = (
            directory,
            minutes,
            steps,
            keep,
            every,
        )
        self._written, self._step = time.monotonic(), -1

    @property
    def last(self) -> Path:
        """Return the path of the last checkpoint."""
        return self.directory / "last.ckpt"

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Write where it is time."""
        if step_ended(trainer, batch_idx) and (
            self._due(trainer) or (self.steps and trainer.global_step % self.steps == 0)
        ):
            self.write(trainer)

    def _due(self, trainer: L.Trainer) -> bool:
        due = time.monotonic() - self._written >= 60 * self.minutes
        if trainer.world_size == 1:
            return due
        return trainer.global_step % self.every == 0 and trainer.strategy.broadcast(due)

    def on_train_end(self, trainer: L.Trainer, *_: object) -> None:
        """Write the last step."""
        self.write(trainer)

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Write the last step when training is interrupted."""
        alone = trainer.world_size == 1  # others may be anywhere, and saving takes all
        if (
            alone
            and isinstance(exception, KeyboardInterrupt | SystemExit)
            and trainer.global_step > self._step >= 0
        ):
            self.write(trainer)

    def on_train_start(self, trainer: L.Trainer, *_: object) -> None:
        """Note the step that is there already, start the clock, delete what a killed run left."""
        if trainer.is_global_zero:  # the run directory is locked: nobody writes here but this run
            for half in self.directory.glob(f"*{HALF}"):
                half.unlink()
        self._step, self._written = trainer.global_step, time.monotonic()

    def write(self, trainer: L.Trainer) -> None:
        """Write the step that training is at, unless it is there.

        OSError where the disk is full.
        """
        if trainer.global_step == self._step > 0:  # it is there, written or resumed from
            return
        self._step, self._written = trainer.global_step, time.monotonic()
        path = self.directory / f"step-{trainer.global_step:08d}.ckpt"
        if not trainer.is_global_zero:
            trainer.save_checkpoint(path)  # takes part; what is written is written by the first
            return
        with replacing(path, durable=True) as half:
            trainer.save_checkpoint(half)
        point_at(path, self.last)
        for old in steps_in(self.directory)[: -self.keep]:
            old.unlink()
