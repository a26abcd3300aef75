"""Train the baseline that has labels: the same encoder, views, optimiser and budget.

From scratch, on whole images.

It stands in a study as one more task, and its encoder is exported and probed like every other. It
is no task of the package: a task never sees a label, and what is asked here has no tiles.

The traps: labels of -1 (none) must not count as a class, and FLOPs must be counted on this step,
not on a task's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_patches.config.instantiate import build
from ssl_patches.data import build as build_data
from ssl_patches.encoders import build as build_encoders
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.types import ImageBatch, Views
from ssl_patches.views.resample import normalised


class Supervised(Pretrainer):
    """The module that trains an encoder with labels.

    ``classes``: their number. ``mean``, ``std``: per channel, of pixels in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, classes: int, mean: Iterable[float], std: Iterable[float], **settings: Any
    ) -> None:
        super().__init__(parts=[], **settings)
        self.name = "supervised"
        self.head = nn.Linear(self.encoder.dim, classes)
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(tuple(std)).view(-1, 1, 1), persistent=False)

    def losses(
        self, images: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the cross-entropy of a batch, and the share of right predictions.

        ``images`` (B, C, H, W) uint8, ``labels`` (B,), -1 for none -> loss (), metrics () by name.
        Without labels (whoever counts the cost of a step has none) all are class 0.
        """
        labels = (
            labels
            if labels is not None
            else torch.zeros(len(images), dtype=torch.long, device=images.device)
        )
        views = self.views(images)
        views = views.images if isinstance(views, Views) else views
        labels = labels.repeat_interleave(len(views) // len(images))  # of several crops each
        logits = self.head(self.encoder.features(normalised(views, self.mean, self.std))[0].pooled)
        known = labels >= 0
        loss = F.cross_entropy(
            logits, labels, ignore_index=-1, reduction="sum"
        ) / known.sum().clamp(min=1)
        right = ((logits.detach().argmax(1) == labels) & known).sum() / known.sum().clamp(min=1)
        return loss, {"loss": loss.detach(), "accuracy": right}

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Return the loss of a shard, a scalar."""
        loss, metrics = self.losses(batch.images, batch.labels)
        self.keep_metrics(metrics, batch_idx)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimiser of encoder and head."""
        return self.recipe.optimizer([self.encoder, self.head], batch_size=self.batch_size)


def classes_of(train: Any) -> int:
    """Count the classes that the labels of a source name. ValueError where it has none."""
    labels = train.labels
    if not isinstance(labels, Tensor) or labels.dim() != 1 or not (labels >= 0).any():
        raise ValueError(
            "data.root: the images have no classes, which `supervised` and `tune` need; give"
            " DIR/CLASS/file, or leave both out of the study"
        )
    return int(labels.max()) + 1


def check_supervised(cfg: Mapping[str, Any]) -> None:
    """Raise ValueError where the encoder, the views or the optimiser cannot be built."""
    build_encoders.encoder(cfg)
    build(cfg["views"], image_size=cfg["image_size"])
    build(cfg["optimizer"])


def module(cfg: Mapping[str, Any], train: Any, **settings: Any) -> Supervised:
    """Build the module of the baseline.

    ``settings``: arguments of ``Pretrainer`` that do not come from ``cfg``. ValueError where the
    images have no classes.
    """
    mean, std = build_data.pixel_statistics(cfg)
    with build_encoders.seeded(cfg["seed"]):  # the head is drawn after the encoder
        return Supervised(
            classes=classes_of(train),
            mean=mean,
            std=std,
            encoder=build_encoders.next_encoder(cfg),
            views=build(cfg["views"], image_size=cfg["image_size"]),
            recipe=build(cfg["optimizer"]),
            **settings,
        )
