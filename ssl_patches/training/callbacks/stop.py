"""End training at Ctrl-C, SIGTERM or SIGUSR1, after the step in progress.

Then weights and step number agree.

SIGTERM is what schedulers and ``kill`` send, SIGUSR1 what Slurm sends ahead of the time limit
(``--signal=USR1@90``), SIGHUP what a terminal sends that is closed. A second signal of the same
kind does what it did before: Ctrl-C raises KeyboardInterrupt, the others end the process.

Traps: (a) Lightning's own SIGTERM handler broadcasts inside the handler and hangs where ranks are
in other collectives (Lightning 20825), and it is put before a handler that exists: ours is
installed again once Lightning has; (b) several processes must stop after the same step, so they ask
each other, every ``every`` steps only: the answer waits for the device.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L

from ssl_patches.training.pretrainer import step_ended

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class Stop(L.Callback):
    """A callback that ends training after a signal.

    ``every``: steps between questions to the other processes. ``came``: signals received so far.
    """

    def __init__(self, *, every: int) -> None:
        self.every = every
        self.came: list[int] = []
        self._before: dict[int, Any] = {}  # signal -> the handler that it had
        # where a step is one batch of one process, it can be told at once
        self._whole: L.Trainer | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to signals within the block, and put the handlers of before back after it.

        Outside the main thread, where no handler can be set, nothing is done.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        if before[signal.SIGHUP] is signal.SIG_IGN:  # under nohup
            del before[signal.SIGHUP]
        self._before = before
        self._listen()
        try:
            yield
        finally:
            for number, handler in self._before.items():  # Lightning leaves SIGINT ignored
                signal.signal(number, handler)
            self._before = {}

    def _listen(self) -> None:
        for number in self._before:
            signal.signal(number, self._received)

    def _received(self, number: int, _: object) -> None:
        self.came.append(number)
        if self._whole is not None:
            self._whole.should_stop = True
        signal.signal(number, self._before[number])

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Install the handlers again, since Lightning has put its own before them."""
        if trainer.world_size == trainer.accumulate_grad_batches == 1:
            self._whole = trainer
        if not self.came:
            self._listen()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Stop after a step where a signal came, in all processes alike."""
        if not step_ended(trainer, batch_idx):
            return
        if trainer.world_size == 1:
            trainer.should_stop |= bool(self.came)
        elif trainer.global_step % self.every == 0:
            trainer.should_stop |= trainer.strategy.reduce_boolean_decision(
                bool(self.came), all=False
            )
