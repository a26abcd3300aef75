"""Report how training goes: a row of metrics.csv and a line of progress, from the same numbers.

Reading a metric waits for the device, so it happens every ``every`` steps only. The share of time
spent waiting for data is measured between the end of one step and the start of the next.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

import lightning as L
from tqdm import tqdm

from ssl_patches.config.plain_text import tell
from ssl_patches.training.callbacks.observer import Observer
from ssl_patches.training.pretrainer import Pretrainer, step_ended
from ssl_patches.training.rows import Rows

RECENT = 60.0  # seconds of which the rate that is printed is the mean


class Meter(Observer):
    """A callback that measures speed and reports metrics.

    ``path``: of the CSV. ``every``: steps between rows. ``flops_per_image``: of a training step.
    ``wait``: share of the time spent waiting for data, 0..1.
    """

    def __init__(self, path: Path, *, every: int, flops_per_image: float) -> None:
        self.rows, self.every, self.flops_per_image = Rows(path), every, flops_per_image
        self.images_per_second = 0.0
        self.wait = 0.0
        self._ended = self._busy = self._waited = 0.0
        self._first_step, self._seen_step, self._spoke = 0, 0, 0.0
        self._bar: tqdm | None = None
        self._recent: deque[tuple[float, int]] = deque()  # (seconds of work, step), oldest first

    def on_train_start(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Start the clocks, and the progress bar where somebody looks."""
        self._first_step = self._seen_step = trainer.global_step
        self._recent = deque([(self._busy + self._waited, trainer.global_step)])
        self._ended = self._spoke = time.monotonic()
        if trainer.is_global_zero:  # two that write one file at once would leave half of it
            self.rows.drop_after(trainer.global_step)
        if trainer.is_global_zero and sys.stderr.isatty():
            self._bar = tqdm(
                total=module.steps,
                initial=trainer.global_step,
                unit="step",
                dynamic_ncols=True,
                leave=True,
            )

    def on_train_batch_start(self, *_: object) -> None:
        """Count the time since the last step as waiting for data."""
        now = time.monotonic()
        self._waited, self._ended = self._waited + now - self._ended, now

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Pretrainer, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count the time of the step, and report where it is time."""
        now = time.monotonic()
        self._busy, self._ended = self._busy + now - self._ended, now
        step = trainer.global_step
        if not step_ended(trainer, batch_idx):
            return
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
        if step % self.every == 0 or step == module.steps or step == self._first_step + 1:
            self._report(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Report the last step."""
        if trainer.global_step > self._seen_step:
            self._report(trainer, module)
        self._close()

    def on_exception(self, *_: object) -> None:
        """Close the progress bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _report(self, trainer: L.Trainer, module: Pretrainer) -> None:
        step, elapsed = trainer.global_step, max(self._busy + self._waited, 1e-9)
        per_step = module.batch_size
        self.images_per_second = (step - self._first_step) * per_step / elapsed
        self.wait = self._waited / elapsed
        self._seen_step = step
        while len(self._recent) > 1 and elapsed - self._recent[1][0] >= RECENT:
            self._recent.popleft()
        self._recent.append((elapsed, step))
        means = {
            key: trainer.strategy.reduce(value.clone(), reduce_op="mean")
            for key, value in module.metrics.items()
        }
        if not trainer.is_global_zero:
            return
        values = {key: value.item() for key, value in means.items()}
        row = {
            "step": step,
            "images": step * per_step,
            "flops": step * per_step * self.flops_per_image,
            "seconds": round(module.seconds_spent(), 3),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "images_per_second": round(self.images_per_second, 2),
            "data_wait": round(self.wait, 4),
            **values,
        }
        self.rows.log(trainer, row)
        self._print(module, values, step)

    def _print(self, module: Pretrainer, values: dict[str, float], step: int) -> None:
        said = " ".join(f"{key} {value:.3g}" for key, value in values.items())
        rate = module.batch_size / self._per_step()
        speed = f"{rate:.0f} images/s, waiting for data {100 * self.wait:.0f} %"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{said}, {speed}")
        elif time.monotonic() - self._spoke > 15 or step == module.steps:
            self._spoke = time.monotonic()
            left = f"{self._left(module, step):.0f} s left"
            tell(
                f"{100 * module.progress():3.0f} %  step {step}  {said}  {speed}  {left}",
                file=sys.stderr,
            )

    def _left(self, module: Pretrainer, step: int) -> float:
        """Seconds until the budget is used, at the recent rate."""
        if module.steps is None:
            return (module.seconds or 0.0) - module.seconds_spent()
        return (module.steps - step) * self._per_step()

    def _per_step(self) -> float:
        """Seconds that a step took in the last ``RECENT`` seconds or more."""
        (before, first), (now, last) = self._recent[0], self._recent[-1]
        return max(now - before, 1e-9) / max(1, last - first)
