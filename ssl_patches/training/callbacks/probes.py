"""Probe frozen features by kNN and a linear model while the run goes on, where there are labels.

The bank and the queries are both taken from the *training* images (4 : 1), seen as the export
sees them: whole, without augmentation. The test split stays untouched until the run is over, so
choosing a run or a checkpoint by these metrics costs its result nothing. They are for following a
run: with few images they lie below the final ones.

Nothing here can reach the weights: features come from a copy (``eval_copy``), and probes keep their
own random stream.
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
from ssl_patches.training.callbacks import eval_copy
from ssl_patches.training.callbacks.observer import Observer, data_of
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.rows import Rows, report
from ssl_patches.types import ImageBatch

CSV = "probes.csv"
QUERY_EVERY = 5  # every fifth image is a query, the others are the bank
K = 20


class OnlineProbes(Observer):
    """A callback that probes the features now and then. ValueError for numbers out of range.

    ``epochs``: between probes (a fraction will do; the end has one always). Why: a curve of the
    run.
    ``images``: of the training split; they stay in memory. Why: a fifth of them are queries, which
    tells 4 points apart.
    """

    def __init__(self, *, epochs: float = 1.0, images: int = 2500) -> None:
        if not epochs > 0:
            raise ValueError(
                f"callbacks.probes.epochs={epochs}: must be above 0; set callbacks.probes.epochs=1"
            )
        if images < 2 * QUERY_EVERY:
            raise ValueError(
                f"callbacks.probes.images={images}: at least {2 * QUERY_EVERY}; set"
                " callbacks.probes.images=2500"
            )
        self.epochs, self.images = epochs, images
        self._held: ImageBatch | None = None

    def on_train_start(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Find out how often to probe, and whether there are classes."""
        data = data_of(trainer)
        self.rows = Rows(Path(trainer.default_root_dir) / CSV)
        self.rows.drop_after(trainer.global_step)
        self._probed = trainer.global_step
        self._between = max(1, math.ceil(self.epochs * len(data.train) / (module.batch_size)))
        labels = data.train.labels
        self._on = (
            labels is not None
            and labels.dim() == 1
            and not labels.is_floating_point()
            and len(labels[labels >= 0].unique()) >= 2
        )
        if not self._on:
            report("probes: the training images carry no classes, so there is nothing to probe")

    def on_step_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Probe where it is time."""
        if self._on and trainer.global_step % self._between == 0:
            self.probe(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Probe a last time where the budget is used."""
        if self._on and module.progress() >= 1 and trainer.global_step > self._probed:
            self.probe(trainer, module)

    def probe(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Write a row of probes.csv, and the same to the terminal and the loggers."""
        began, self._probed = time.monotonic(), trainer.global_step
        if self._held is None:
            self._held = _labelled(eval_copy.first_images(data_of(trainer).train, self.images))
        with eval_copy.eval_copy(module) as copy:
            found = eval_copy.pooled_features(
                eval_copy.calibrated(copy, data_of(trainer)), copy, self._held.images
            )
        metrics = probe_accuracies(found, self._held.labels)
        row = {
            "step": trainer.global_step,
            "images": trainer.global_step * module.batch_size,
            **metrics,
            "probe_seconds": round(time.monotonic() - began, 3),
        }
        self.rows.log(trainer, row, prefix="probes/")
        said = ", ".join(f"{key} {value:.1f} %" for key, value in metrics.items())
        report(f"probes at step {row['step']}, {len(found)} training images: {said}")


def probe_accuracies(features: Tensor, labels: Tensor) -> dict[str, float]:
    """Probe features by kNN and a linear model: every fifth image is a query to the others.

    ``features`` (N, dim), ``labels`` (N,) >= 0 -> percent right by name, the share of the largest
    class beside.
    Classes that the bank does not show cannot be answered and count as wrong.
    """
    queries = torch.arange(len(labels)) % QUERY_EVERY == 0
    bank, bank_labels, classes = features[~queries], labels[~queries], int(labels.max()) + 1
    k = votes(K, len(bank))
    knn = weighted_knn(bank, bank_labels, features[queries], k=k, classes=classes)
    linear, _ = linear_probe(bank, bank_labels, features[queries], classes=classes)
    right = {
        name: 100 * (found.cpu() == labels[queries]).double().mean().item()
        for name, found in ((f"knn{k}_top1", knn), ("linear_top1", linear))
    }
    return {
        **right,
        "largest_class": 100 * labels[queries].bincount().max().item() / int(queries.sum()),
    }


def _labelled(images: ImageBatch) -> ImageBatch:
    has = images.labels >= 0
    return ImageBatch(*(part[has] for part in images))
