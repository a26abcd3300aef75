"""Sound an alarm when a training goes wrong: in plain words, once, with what to try.

Each rule is a function of numbers that are logged anyway, so that an alarm can be checked against
them by hand. The thresholds are meant to be silent on a healthy run, also a slow one
(tests/callbacks/test_alarms.py: 20 seeds); a sick run that stays within them is not found.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
from lightning.pytorch.loggers import Logger

from ssl_patches.config.atomic import write_json
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.training.rows import (
    HELD_OUT,
    TRAIN,
    TakesAlerts,
    TakesText,
    of_split,
    report,
    tell_logger,
)
from ssl_patches.types import Metric, accuracies

FILE = "alarms.json"
# deviation per dimension, where random weights have 0.5: bf16 can tell no less apart. Ten times
# that is no
COLLAPSED = 0.004
# sickness: `relative` in experiments/tasks_cifar10 has 0.03 (a mean cosine of 0.9992), rank 3, and
# good probes
ONE_DIRECTION = 2.0  # effective rank
NO_BETTER = 0.01  # of the way from chance to perfect
PATIENCE = 0.25  # of the budget before a task can be stuck at chance ...
PATIENCE_IMAGES = 5000  # ... and images, for a run that is only a trial
SOLVED = (
    0.97  # of the way from chance to perfect, which photographs with guarded tiles do not allow
)
APART = 0.15  # of the way from chance to perfect
LOSS_APART = 1.25  # held-out loss over training loss, for tasks without an accuracy
READINGS = 5  # of the loss whose median is compared
ABOVE_START = 1.25  # of the loss at the start; batches of 16 move by a tenth
LOST = 0.5  # of what the loss had gained, by each of the readings
EXPLODED = 100.0  # gradient norm over that at the start
DATA_WAIT = 0.3  # of the time
SETTLED = 60.0  # seconds of training until the share of waiting means something

TRY = {
    "not_finite": (
        "optimizer.base_lr a third of now, optimizer.clip=1, trainer.precision=fp32; start anew, or"
        " from a checkpoint of before"
    ),
    "collapse": (
        "optimizer.base_lr a third of now, a smaller optimizer.weight_decay, a longer"
        " optimizer.warmup; spread=logdet; task=agree, whose loss forbids it"
    ),
    "chance": (
        "a longer run first (where-tasks wait before they rise); then optimizer.base_lr three times"
        " or a third of now, an easier question (fewer and larger tiles); or another task:"
        " task=agree needs nothing in the images that has an up or a middle"
    ),
    "shortcut": (
        "a larger sampler.gap (tiles that touch tell by their edges), sampler.jitter left at null,"
        " sampler.colour.grey or .channel_shift against aberration; or a harder question (more"
        " cells, task.mask_ratio)"
    ),
    "touching": (
        "sampler.gap of a tenth of a cell or more, as sampler=tiles_3x3 has it, sampler.jitter left"
        " at null; start anew"
    ),
    "learning_rate": (
        "optimizer.base_lr a third of now, optimizer.clip=1, a longer optimizer.warmup"
    ),
    "apart": (
        "more images, a shorter budget, stronger views (views.scale=[0.2,1]), a smaller encoder"
    ),
    "data_bound": (
        "more data.num_workers (as many as cores), data.cache=true (images decoded once), images on"
        " a local disk"
    ),
}
"""Alarm -> what to try."""


@dataclass(frozen=True)
class Alarm:
    """An alarm of a run: ``says`` what is wrong, with the numbers; ``remedy``: what to try."""

    name: str
    step: int
    says: str
    remedy: str

    def __str__(self) -> str:
        return f"ALARM {self.name} at step {self.step}: {self.says}. Try: {self.remedy}"

    def log(self, logger: Logger) -> None:
        """Write it to a logger: a number, and words where it takes them."""
        logger.log_metrics({f"alarm/{self.name}": 1.0}, step=self.step)
        if isinstance(logger, TakesText):
            data: list[list[Any]] = [[self.step, self.says, self.remedy]]
            columns = ["step", "says", "try"]
            logger.log_text(key=f"alarm/{self.name}/says", columns=columns, data=data)
        if isinstance(logger, TakesAlerts):
            logger.alert(f"{self.name} at step {self.step}", f"{self.says}. Try: {self.remedy}")


def of_geometry(task: PretextTask, sampler: PatchSampler) -> Iterator[tuple[str, str]]:
    """List (alarm, what is wrong) before the first step.

    Whether a network takes a shortcut shows late or never; that it is open, at once.
    """
    if task.apart and sampler.distance < 1:
        yield (
            "touching",
            (
                f"tiles may touch (sampler.gap={sampler.gap}): lines and colours that run on from"
                " one tile to the next answer the question, without a look at what the tiles show"
            ),
        )


class LossWatch:
    """A watch over the training loss and the gradient's norm, in little memory.

    The loss is held against the first reading alone, which should be that of the first step: a rate
    that is far too high spoils the weights within the next few.
    """

    def __init__(self) -> None:
        self.start = self.best = math.inf
        self.norms: list[float] = []  # the first ones
        self.recent: deque[tuple[float, float]] = deque(maxlen=READINGS)

    def judge(self, loss: float, norm: float) -> str | None:
        """Take the readings of a step, and say what is wrong, or None.

        Silent until there are ``READINGS`` after the first.
        """
        if len(self.norms) < READINGS:
            self.norms.append(norm)
        if math.isinf(self.start):
            self.start = loss
            return None
        self.recent.append((loss, norm))
        if len(self.recent) < READINGS:
            return None
        now, now_norm = (median(part) for part in zip(*self.recent, strict=True))
        start, start_norm = self.start, median(self.norms)
        self.best = min(self.best, now)
        if now > start + (ABOVE_START - 1) * abs(start):  # a loss may be negative
            return f"the loss rose to {now:.3g}, above the {start:.3g} that it began with"
        gained, least = start - self.best, min(reading for reading, _ in self.recent)
        if gained > (1 - 1 / ABOVE_START) * abs(start) and least - self.best > LOST * gained:
            return (
                f"the loss rose to {now:.3g} after it had fallen from {start:.3g} to"
                f" {self.best:.3g}"
            )
        if now_norm > EXPLODED * start_norm > 0:
            return f"the norm of the gradient rose from {start_norm:.2g} to {now_norm:.2g}"
        return None


def of_check(row: Mapping[str, float], *, progress: float) -> Iterator[tuple[str, str]]:
    """List (alarm, what is wrong) by a row of health.csv.

    ``progress``: share of the budget that is used, 0..1.
    """
    if not (math.isfinite(row["held_out_loss"]) and math.isfinite(row["effective_rank"])):
        yield (
            "not_finite",
            "features or loss of held-out images are not finite: the weights are lost",
        )
        return
    if row["deviation"] < COLLAPSED or row["effective_rank"] < ONE_DIRECTION:
        yield (
            "collapse",
            (
                "the encoder gives nearly the same feature for every image (deviation"
                f" {row['deviation']:.2g} where random weights have about 0.5, effective rank"
                f" {row['effective_rank']:.2g}, mean cosine {row['mean_cosine']:.4f})"
            ),
        )
    waited = progress >= PATIENCE and row["images"] >= PATIENCE_IMAGES
    asked = accuracies(of_split(row, HELD_OUT))
    for metric in asked:
        yield from _of_accuracy(row, metric, waited=waited)
    if not asked and waited and row["held_out_loss"] > LOSS_APART * row["train_loss"]:
        yield (
            "apart",
            (
                f"the loss is {row['train_loss']:.3g} in training and {row['held_out_loss']:.3g} on"
                " held-out images: it is learning these images by heart"
            ),
        )
    if row["data_wait"] > DATA_WAIT and row["seconds"] > SETTLED:
        yield "data_bound", f"{100 * row['data_wait']:.0f} % of the time is spent waiting for data"


def _of_accuracy(
    row: Mapping[str, float], metric: Metric[float], *, waited: bool
) -> Iterator[tuple[str, str]]:
    if metric.chance is None:
        return
    key, chance = metric.name, metric.chance
    ours, train = metric.value, row[TRAIN + key]
    held, trained = ((value - chance) / (1 - chance) for value in (ours, train))
    said = key.replace("_", " ")
    if waited and held < NO_BETTER:
        yield (
            "chance",
            (
                f"after {row['images']:,.0f} images the {said} on held-out images is"
                f" {100 * ours:.1f} %, no better than chance ({100 * chance:.1f} %)"
            ),
        )
    if waited and held > SOLVED:
        yield (
            "shortcut",
            (
                f"the {said} on held-out images is {100 * ours:.1f} %: "
                "the question is answered without looking at what the images show"
            ),
        )
    if waited and trained - held > APART:
        yield (
            "apart",
            (
                f"the {said} is {100 * train:.1f} % in training and {100 * ours:.1f} % on held-out"
                " images: it is learning these images by heart"
            ),
        )


class Alarms:
    """The alarms of a run: each once, also over resumes.

    They go to the terminal, to alarms.json and to the loggers.
    """

    def __init__(self, path: Path, *, step: int) -> None:
        """``path``: the file; alarms after ``step`` are forgotten, for a resumed run meets them
        again."""
        self.path = path
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        self.raised = {alarm["name"]: Alarm(**alarm) for alarm in kept if alarm["step"] <= step}
        self.save()

    def save(self) -> None:
        """Write the file."""
        write_json(self.path, [asdict(alarm) for alarm in self.raised.values()])

    def sound(self, trainer: L.Trainer, name: str, says: str) -> None:
        """Sound an alarm, unless it has been before."""
        if name in self.raised:
            return
        alarm = self.raised[name] = Alarm(name, trainer.global_step, says, TRY[name])
        self.save()
        report(str(alarm))
        for logger in trainer.loggers:
            tell_logger(logger, alarm.log)
