"""Checkpoints that a kill at any moment leaves whole: written beside, then renamed. ``last.ckpt`` is always complete."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L


@contextmanager
def stopping_between_steps(trainer: L.Trainer) -> Iterator[list[int]]:
    """Ctrl-C ends training after the step in progress, when weights and step number agree; a second one ends it at once.

    Yields a list that holds the signal once it came. Outside the main thread, where no handler can be set, it does nothing.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, _: object) -> None:
        came.append(number)
        trainer.should_stop = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored


class Checkpoints(L.Callback):
    """Writes ``step-N.ckpt`` and points ``last.ckpt`` at it: every ``minutes``, every ``steps`` (0: not by steps), at the
    end, and when training is interrupted. The newest ``keep`` are kept.
    """

    def __init__(self, directory: Path, *, minutes: float, steps: int, keep: int) -> None:
        self.directory, self.minutes, self.steps, self.keep = directory, minutes, steps, keep
        self._written, self._step = time.monotonic(), -1

    @property
    def last(self) -> Path:
        return self.directory / "last.ckpt"

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        due = time.monotonic() - self._written >= 60 * self.minutes
        if due or (self.steps and trainer.global_step % self.steps == 0):
            self.write(trainer)

    def on_train_end(self, trainer: L.Trainer, *_: object) -> None:
        self.write(trainer)

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt | SystemExit) and trainer.global_step > self._step >= 0:
            self.write(trainer)

    def on_train_start(self, trainer: L.Trainer, *_: object) -> None:
        self._step, self._written = trainer.global_step, time.monotonic()

    def write(self, trainer: L.Trainer) -> None:
        if trainer.global_step == self._step and self.last.exists():
            return
        self._step, self._written = trainer.global_step, time.monotonic()
        path = self.directory / f"step-{trainer.global_step:08d}.ckpt"
        half = path.with_suffix(".half")
        try:
            trainer.save_checkpoint(half)
        except OSError:  # a full disk: what was written helps nobody
            half.unlink(missing_ok=True)
            raise
        if trainer.is_global_zero:
            os.replace(half, path)
            link = self.last.with_suffix(".half")
            link.unlink(missing_ok=True)
            os.link(path, link)
            os.replace(link, self.last)
            for old in sorted(self.directory.glob("step-*.ckpt"))[: -self.keep]:
                old.unlink()
