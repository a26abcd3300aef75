"""Online probes: kNN and a linear probe on frozen features while the run goes on, for those who
have labels.

The bank and the questions are both taken from the *training* images (4 : 1), seen as the export
sees them: whole, without augmentation. The test split stays untouched until the run is over, so
choosing a run or a checkpoint by these figures costs its result nothing. They are for following a
run: with few images they lie below the final ones.

Nothing here can reach the weights: features come from a copy (``twin``), and probes keep their own
random stream.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from ssl_patches.evaluation.probes.knn import votes, weighted_knn
from ssl_patches.evaluation.probes.linear import linear_probe
from ssl_patches.training.callbacks import twin
from ssl_patches.training.pretrainer import Pretrainer, step_ended
from ssl_patches.training.rows import Rows, say
from ssl_patches.types import ImageBatch

CSV = "probes.csv"
ASKED = 5  # every fifth image is a question, the others are the bank
K = 20


class OnlineProbes(L.Callback):
    """``epochs``: between probes (a fraction will do; the end has one always). Why: a curve of the
    run.
    ``images``: of the training split; they stay in memory. Why: a fifth of them is asked, which
    tells 4 points apart.
    """

    def __init__(self, *, epochs: float = 1.0, images: int = 2500) -> None:
        if not epochs > 0:
            raise ValueError(
                f"callbacks.probes.epochs={epochs}: must be above 0; set callbacks.probes.epochs=1"
            )
        if images < 2 * ASKED:
            raise ValueError(
                f"callbacks.probes.images={images}: at least {2 * ASKED}; set"
                " callbacks.probes.images=2500"
            )
        self.epochs, self.images = epochs, images
        self._held: ImageBatch | None = None

    def on_train_start(self, trainer: L.Trainer, module: Pretrainer) -> None:
        data = trainer.datamodule
        self.rows = Rows(Path(trainer.default_root_dir) / CSV)
        self.rows.shorten(trainer.global_step)
        self._probed = trainer.global_step
        self._between = max(1, math.ceil(self.epochs * len(data.train) / (module.batch_size)))
        labels = data.train.labels
        self._on = (
            labels is not None and labels.dim() == 1 and len(labels[labels >= 0].unique()) >= 2
        )
        if not self._on:
            say("probes: the training images carry no classes, so there is nothing to probe")

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Pretrainer, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if self._on and step_ended(trainer, batch_idx) and trainer.global_step % self._between == 0:
            self.probe(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        if self._on and module.progress() >= 1 and trainer.global_step > self._probed:
            self.probe(trainer, module)

    def probe(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """A row of probes.csv, and the same to the terminal and the loggers."""
        began, self._probed = time.monotonic(), trainer.global_step
        self._held = self._held or _labelled(twin.held(trainer.datamodule.train, self.images))
        with twin.twin(module) as copy:
            found = twin.features(
                twin.calibrated(copy, trainer.datamodule), copy, self._held.images
            )
        figures = accuracies(found, self._held.labels)
        row = {
            "step": trainer.global_step,
            "images": trainer.global_step * module.batch_size,
            **figures,
            "probe_seconds": round(time.monotonic() - began, 3),
        }
        self.rows.append(row)
        for logger in trainer.loggers:
            logger.log_metrics(
                {f"probes/{key}": value for key, value in row.items() if key != "step"},
                step=trainer.global_step,
            )
        said = ", ".join(f"{key} {value:.1f} %" for key, value in figures.items())
        say(f"probes at step {row['step']}, {len(found)} training images: {said}")


def accuracies(features: Tensor, labels: Tensor) -> dict[str, float]:
    """``features`` (N, dim), ``labels`` (N,) >= 0 -> percent right of every fifth, asked of the
    others; chance beside.

    Classes that the bank does not show cannot be answered and count as wrong.
    """
    asked = torch.arange(len(labels)) % ASKED == 0
    bank, bank_labels, classes = features[~asked], labels[~asked], int(labels.max()) + 1
    k = votes(K, len(bank))
    knn = weighted_knn(bank, bank_labels, features[asked], k=k, classes=classes)
    linear, _ = linear_probe(bank, bank_labels, features[asked], classes=classes)
    right = {
        name: 100 * (found.cpu() == labels[asked]).double().mean().item()
        for name, found in ((f"knn{k}_top1", knn), ("linear_top1", linear))
    }
    return {
        **right,
        "largest_class": 100 * labels[asked].bincount().max().item() / int(asked.sum()),
    }


def _labelled(images: ImageBatch) -> ImageBatch:
    has = images.labels >= 0
    return ImageBatch(*(part[has] for part in images))
