"""Draw during a run what the task does with held-out images, and what the features say of them.

``figures/TASK.png`` the task at work, ``neighbours.png`` the nearest images by features,
``patches.png`` the map of patch features as colours and, of a ViT, its attention. The files of the
moment are ``figures/step-N/...``; those of the end lie in ``figures/`` itself. Features are the
exported encoder's, as in ``health``; nothing of the run is touched (``eval_copy``).
"""

from __future__ import annotations

import math
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from ssl_patches.encoders.base import Encoder
from ssl_patches.evaluation.attention import attends, last_attention
from ssl_patches.training.callbacks import eval_copy
from ssl_patches.training.callbacks.health import FEWEST, Health
from ssl_patches.training.callbacks.observer import Observer, data_of
from ssl_patches.training.figures import draw_neighbours, draw_patches, draw_task
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.rows import TakesImages, tell_logger
from ssl_patches.training.trackers.tensorboard_run import add_pictures
from ssl_patches.types import Features, ImageBatch

EPOCHS, APART = 10.0, 120.0
"""Between drawings that nobody has set: epochs, and seconds of training."""
AMONG = 256
"""Held-out images that neighbours are sought in where nobody has said."""
COARSE = 6  # a map with fewer rows shows nothing: then of a layer before


class Previews(Observer):
    """A callback that draws previews now and then. ValueError for numbers out of range.

    ``epochs``: between previews (a fraction will do; the end has one always); null: 10, and none
    within two minutes of training. Why: twice in a run of the default length, and once in a short
    one, which a drawing takes seconds of.
    ``images``: rows of the figures. Why: what is read at once. ``among``: held-out images that
    neighbours are sought in; null: 256, or fewer where the health panel has just read those. Why:
    seconds, and enough for a near one.
    """

    def __init__(
        self, *, epochs: float | None = None, images: int = 4, among: int | None = None
    ) -> None:
        if epochs is not None and not epochs > 0:
            raise ValueError(
                f"callbacks.previews.epochs={epochs}: must be above 0; set"
                " callbacks.previews.epochs=10"
            )
        most = AMONG if among is None else among
        if not 1 <= images < most:
            raise ValueError(
                f"callbacks.previews.images={images}, among={most}: at least 1 row, and more"
                " images to seek in; set callbacks.previews.images=4"
            )
        self.epochs, self.images, self.among = epochs, images, most
        self._enough = min(FEWEST, most) if among is None else most
        self._held: ImageBatch | None = None
        self._drawn = 0.0  # seconds of training until the last drawing

    def on_train_start(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Find out how often to draw, and whether there are held-out images."""
        data = data_of(trainer)
        self.folder = Path(trainer.default_root_dir) / "figures"
        epochs = EPOCHS if self.epochs is None else self.epochs
        self._between = max(1, math.ceil(epochs * len(data.train) / module.batch_size))
        self._drawn = module.seconds_spent()
        self._on = data.val is not None and len(data.val) >= 2

    def on_step_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Draw where it is time."""
        step = trainer.global_step
        due = self._on and step % self._between == 0 and step != module.steps
        if due and self.epochs is None:
            due = module.seconds_spent() - self._drawn >= APART
        if due:
            self._drawn = module.seconds_spent()
            self.draw(trainer, module, self.folder / f"step-{step:08d}")

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Draw a last time where the budget is used."""
        if self._on and module.progress() >= 1:
            self.draw(trainer, module, self.folder)

    def draw(self, trainer: L.Trainer, module: Pretrainer, folder: Path) -> None:
        """Draw all figures into ``folder``, and send them to the loggers that take images."""
        self.draw_tasks(trainer, module, folder)
        self.draw_features(trainer, module, folder)

    def _images(self, trainer: L.Trainer) -> tuple[ImageBatch, list[int]]:
        """Held-out images, and which of them are the rows of figures."""
        self._held = self._held or eval_copy.first_images(data_of(trainer).val, self.among)
        return self._held, self._rows(len(self._held.images))

    def _rows(self, count: int) -> list[int]:
        """Which of ``count`` images are shown, evenly spread."""
        return [place * count // self.images for place in range(min(self.images, count))]

    def draw_tasks(self, trainer: L.Trainer, module: Pretrainer, folder: Path) -> None:
        """Draw each task at work into ``folder``."""
        held, rows = self._images(trainer)
        with eval_copy.eval_copy(module) as copy:
            for name, sampler, task in copy.named_parts():
                draw_task(
                    folder / f"{name}.png",
                    images=held.images[rows].to(module.device),
                    views=copy.views,
                    sampler=sampler,
                    task=task,
                    encoder=copy.encoder,
                    title=f"{name} on images that it was not trained on, {_after(trainer, module)}",
                )
                _log(trainer, folder / f"{name}.png")

    def draw_features(self, trainer: L.Trainer, module: Pretrainer, folder: Path) -> None:
        """Draw the features of the encoder into ``folder``, as it would be exported now."""
        held, _ = self._images(trainer)
        after = _after(trainer, module)
        with eval_copy.eval_copy(module) as copy:
            encoder = eval_copy.calibrated(copy, data_of(trainer))
            features = _of_health(trainer, enough=min(len(held.images), self._enough))
            if features is None:
                with trainer.precision_plugin.forward_context():
                    features = eval_copy.pooled_features(encoder, copy, held.images)
            features = features[: len(held.images)]
            images, labels = held.images[: len(features)], held.labels[: len(features)]
            rows = self._rows(len(images))
            draw_neighbours(
                folder / "neighbours.png",
                images=images,
                features=features,
                labels=labels,
                queries=rows,
                title=(
                    f"nearest of {len(images)} held-out images, by the cosine of their features,"
                    f" {after}"
                ),
            )
            seen = eval_copy.whole_views(copy, images[rows])
            draw_patches(
                folder / "patches.png",
                images=copy.views(images[rows].to(module.device)),
                dense=fine_map(encoder, seen).dense,
                attention=_attention(encoder, seen),
                title=f"patch features of held-out images, {after}",
            )
        for name in ("neighbours", "patches"):
            _log(trainer, folder / f"{name}.png")


def _attention(encoder: Encoder, images: Tensor) -> Tensor | None:
    """Attention (B, h, w) of the model that would be exported now; None for one without."""
    if not attends(encoder.model):
        return None
    return last_attention(encoder.export(images.shape[-1]), images)


def _of_health(trainer: L.Trainer, *, enough: int) -> Tensor | None:
    """Features (N, dim) of the first held-out images that the health panel took after this step.

    None where it took none, or of fewer than ``enough``.
    """
    # mypy: Lightning sets ``callbacks`` where it cannot see it
    others: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for other in others:
        if isinstance(other, Health):
            features = other.features_at(trainer.global_step)
            if features is not None and len(features) >= enough:
                return features
    return None


def _after(trainer: L.Trainer, module: Pretrainer) -> str:
    return f"after {trainer.global_step * module.batch_size:,} images"


def _log(trainer: L.Trainer, file: Path) -> None:
    """To the loggers that take images; a task without pictures has left no file."""
    key, step = f"previews/{file.stem}", trainer.global_step
    for logger in trainer.loggers if file.exists() else ():
        if isinstance(logger, TakesImages):
            tell_logger(logger, lambda each: each.log_image(key=key, images=[str(file)], step=step))
        elif isinstance(logger, TensorBoardLogger):  # Lightning's own, named by a user
            add_pictures(logger, key, [file], step)


def fine_map(encoder: Encoder, images: torch.Tensor) -> Features:
    """Compute the deepest map that a person can read: of a ViT the last layer's.

    ``images`` (B, C, H, W) normalised -> features whose ``dense`` is (B, dim, h, w).
    """
    for layer in (-1, -2, -3):
        found = encoder.features(images, layers=(layer,))[0]
        if found.dense.shape[-2] >= COARSE:
            break
    return found
