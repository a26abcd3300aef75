"""Check on held-out images, without labels and during the run, whether it is learning anything.

A check asks the pretext task about held-out images (views and tiles drawn as in training, so that
its accuracy stands beside the training's) and takes features of whole ones from the encoder as it
would be exported now: eval mode, no augmentation, BatchNorm statistics of whole images. Always the
same images, never trained on, and all of them at once: a rank over a batch is bounded by the batch.
Alignment is between the whole image and a random crop and flip of it (scale 0.2 to 1, whatever the
views of the run are), so that it compares between runs. All is computed in the precision of the
training step.

How often is decided by what a check costs: FLOPs are counted once, on a rehearsal with a few images
at the start (which also meets what is broken before an hour has gone), and checks are spaced so
that they take ``share`` of the compute. The spacing is a function of the configuration, not of the
clock: a resumed run checks at the same steps. One more is made at the end of the first epoch, if
none comes before. Where the number of steps is known, a check is left out if the steps that remain
are fewer than ``WORTH`` times what it costs: the one at the end of the run, which is made at any
price, says the same. A run so short that this last check would take more than ``LAST`` of it is
checked on fewer images, but not on fewer than ``FEWEST``.

Observers look at a copy (``eval_copy``): weights are equal bit for bit with and without the panel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from ssl_patches.training.budget import flop_counter
from ssl_patches.training.callbacks import eval_copy
from ssl_patches.training.callbacks.alarms import FILE, Alarms, LossWatch, of_check, of_geometry
from ssl_patches.training.callbacks.meter import Meter
from ssl_patches.training.callbacks.observer import Observer, data_of
from ssl_patches.training.callbacks.panel import panel
from ssl_patches.training.figures import draw_health
from ssl_patches.training.pretrainer import Pretrainer
from ssl_patches.training.rows import HELD_OUT, TRAIN, Rows, of_split, report
from ssl_patches.types import ImageBatch, accuracies
from ssl_patches.views import CropFlip

CSV = "health.csv"
FIGURE = "health.png"
REHEARSAL = 4  # images
BACKWARD = 3.0  # a training step costs about three forward passes
WORTH = 10.0  # a check takes at most a tenth of what comes after it
LAST = 0.03  # of the steps of a run, for its last check
FEWEST = 128  # images of a check, where there are so many
DRAW = 0  # seed of the views and tiles of every check


@dataclass(frozen=True)
class Price:
    """What a check costs, in training steps per image.

    ``question``: of the pretext task; ``feature``: of a whole image; ``asked``: images with a
    question and a second view, at most.
    """

    question: float
    feature: float
    asked: int

    def steps(self, images: int) -> float:
        """Return the training steps that a check of ``images`` costs."""
        asked = min(self.asked, images)
        return asked * self.question + (images + asked) * self.feature

    def spacing(self, images: int, share: float) -> int:
        """Count the steps between checks that take ``share`` of the compute."""
        return max(1, round(self.steps(images) / share))


def is_due(step: int, *, first: int, between: int, last: int | None, apart: int) -> bool:
    """Tell whether a check is made after ``step``: every ``between`` steps, from ``first`` on.

    Not in the ``apart`` steps before the ``last`` one of the run, after which one is made anyway.
    """
    if step < first or (step - first) % between:
        return False
    return last is None or step >= last or last - step >= apart


class Health(Observer):
    """A callback that checks the health of a run. ValueError for numbers out of range.

    ``images``: held-out images that features are taken of, at most (null: all); they stay in
    memory, and a short run takes fewer. Why: an effective rank is bounded by their number, and
    seconds go into each check.
    ``asked``: how many of them the pretext task is asked about, and how many have a second view for
    alignment. Why: half.
    ``share``: of the run's compute that checks may take. Why: what nobody notices. ``every``: steps
    between checks; null: as ``share`` allows.
    ``watch``: steps between readings of the training loss, for its alarms. Why: a reading waits for
    the device.
    """

    def __init__(
        self,
        *,
        images: int | None = 512,
        asked: int = 256,
        share: float = 0.015,
        every: int | None = None,
        watch: int = 10,
    ) -> None:
        if images is not None and images < 2:
            raise ValueError(
                f"callbacks.health.images={images}: must be at least 2; set"
                " callbacks.health.images=512"
            )
        for key, value in (("asked", asked), ("every", every), ("watch", watch)):
            if value is not None and value < 1:
                raise ValueError(
                    f"callbacks.health.{key}={value}: must be at least 1; leave it out, or set"
                    " callbacks=none"
                )
        if not 0 < share <= 1:
            raise ValueError(
                f"callbacks.health.share={share}: a share above 0, 1 at most; set"
                " callbacks.health.share=0.015"
            )
        self.images, self.asked, self.share, self.every, self.watch = (
            images,
            asked,
            share,
            every,
            watch,
        )
        self._held: ImageBatch | None = None
        self._read: dict[str, list[float]] = {}  # training since the last check
        self._features: tuple[int, torch.Tensor] | None = None  # step and features of a check

    def on_train_start(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Find out how often to check, and look at what can be wrong before the first step."""
        run_dir, step = Path(trainer.default_root_dir), trainer.global_step
        self.rows, self.loss = Rows(run_dir / CSV), LossWatch()
        self.rows.drop_after(step)
        self.alarms = Alarms(run_dir / FILE, step=step)
        for _, sampler, task in module.named_parts():
            for alarm, wrong in of_geometry(task, sampler):
                self.alarms.sound(trainer, alarm, wrong)
        # mypy: Lightning sets ``callbacks`` where it cannot see it
        others: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        self.meter = next((other for other in others if isinstance(other, Meter)), None)
        data, self._checked, self._began = data_of(trainer), step, step
        held_out = 0 if data.val is None else len(data.val)
        self._on = held_out >= 2
        if not self._on:
            report(
                f"health: needs 2 held-out images, there are {held_out}; only the"
                " training loss is watched"
            )
            return
        price = self._price(module, data)
        self._seen = self._images_for(price, held_out, module.steps)
        self._between = self.every or price.spacing(self._seen, self.share)
        self._first = self.every or min(
            math.ceil(len(data.train) / module.batch_size), self._between
        )
        # what was asked for by ``every`` is done to the last step
        self._apart = 0 if self.every else math.ceil(WORTH * price.steps(self._seen))

    def on_step_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Read the loss, and check, where it is time."""
        step = trainer.global_step
        due = self._on and is_due(
            step, first=self._first, between=self._between, last=module.steps, apart=self._apart
        )
        if step % self.watch == 0 or step == self._began + 1 or due:
            self._look(trainer, module)
        if due:
            self._check(trainer, module)

    def on_train_end(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Check a last time where the budget is used, and draw all checks."""
        if module.progress() >= 1 and trainer.global_step > self._checked and self._on:
            self._look(trainer, module)
            self._check(trainer, module)
        run_dir = self.rows.path.parent
        draw_health(
            run_dir / "figures" / FIGURE,
            {run_dir.name: run_dir},
            title=f"{module.name}: the health of the run",
        )

    def _look(self, trainer: L.Trainer, module: Pretrainer) -> None:
        """Read the training step that has just ended; this waits for the device."""
        values = {key: value.item() for key, value in module.metrics.items()}
        for key, value in values.items():
            self._read.setdefault(key, []).append(value)
        if not math.isfinite(values["loss"]):
            self.alarms.sound(
                trainer,
                "not_finite",
                f"the training loss is {values['loss']}: the weights are lost",
            )
        elif wrong := self.loss.judge(values["loss"], values["gradient_norm"]):
            self.alarms.sound(trainer, "learning_rate", wrong)

    def features_at(self, step: int) -> torch.Tensor | None:
        """Return the features that the check at ``step`` took of the first held-out images.

        (N, dim) float32 on the CPU, of the encoder as it would be exported; None where the last
        check was at another step.
        """
        return self._features[1] if self._features and self._features[0] == step else None

    def _price(self, module: Pretrainer, data: Any) -> Price:
        """Count the FLOPs of a check; BatchNorm statistics are left out of the count."""
        few = eval_copy.first_images(data.val, REHEARSAL).images
        with eval_copy.eval_copy(module) as copy:
            with flop_counter() as question:
                eval_copy.mean_metrics(copy, few, seed=DRAW)
            with flop_counter() as feature:
                eval_copy.pooled_features(copy.encoder, copy, few)
        step = BACKWARD * question.get_total_flops() * module.batch_size
        return Price(
            question.get_total_flops() / step, feature.get_total_flops() / step, self.asked
        )

    def _images_for(self, price: Price, held: int, steps: int | None) -> int:
        """Return how many images a check looks at: fewer where the run is short."""
        count = min(self.images or held, held)
        while steps and price.steps(count) > LAST * steps and count > FEWEST:
            count = max(count // 2, FEWEST)
        return count

    def _check(self, trainer: L.Trainer, module: Pretrainer) -> None:
        began, step = time.monotonic(), trainer.global_step
        self._checked = step
        if self._held is None:
            self._held = eval_copy.first_images(data_of(trainer).val, self._seen)
        found = self._measure(trainer, module, self._held.images)
        training = {
            TRAIN + key: sum(read) / len(read)
            for key, read in self._read.items()
            if key != "gradient_norm"
        }
        took = time.monotonic() - began
        row = {
            "step": step,
            "images": step * module.batch_size,
            "seconds": round(module.seconds_spent(), 3),
            **found,
            **training,
            "gradient_norm": sum(self._read["gradient_norm"]) / len(self._read["gradient_norm"]),
            "data_wait": round(self.meter.wait, 4) if self.meter else 0.0,
            "check_seconds": round(took, 3),
        }
        self._read = {}
        self.rows.log(trainer, row, prefix="health/")
        report(_line(row, module.encoder.dim, len(self._held.images)))
        for name, says in of_check(row, progress=module.progress()):
            self.alarms.sound(trainer, name, says)

    def _measure(
        self, trainer: L.Trainer, module: Pretrainer, images: torch.Tensor
    ) -> dict[str, float]:
        asked = images[: self.asked]
        with eval_copy.eval_copy(module) as copy, trainer.precision_plugin.forward_context():
            pretext = eval_copy.mean_metrics(copy, asked, seed=DRAW)
            encoder = eval_copy.calibrated(copy, data_of(trainer))
            seen = eval_copy.pooled_features(encoder, copy, images)
            torch.manual_seed(DRAW)
            crops = CropFlip(image_size=eval_copy.whole_views(copy, images[:1]).shape[-1])
            of_crops = eval_copy.pooled_features(encoder, copy, asked, views=crops)
        self._features = trainer.global_step, seen
        return {
            **{HELD_OUT + key: value for key, value in pretext.items()},
            **panel(seen, of_crops),
        }


def _line(row: Mapping[str, float], dim: int, count: int) -> str:
    """Write a check in one line."""
    said = [f"loss {row['held_out_loss']:.3g} (training {row['train_loss']:.3g})"]
    for metric in accuracies(of_split(row, HELD_OUT)):
        beside = f"training {100 * row[TRAIN + metric.name]:.1f}"
        if metric.chance is not None:
            beside += f", chance {100 * metric.chance:.1f}"
        said.append(f"{metric.name.replace('_', ' ')} {100 * metric.value:.1f} % ({beside})")
    said.append(f"rank {row['effective_rank']:.1f} of {min(dim, count)}")
    said += [
        f"{key.replace('mean_', '')} {row[key]:.3g}"
        for key in ("deviation", "mean_cosine", "alignment", "uniformity")
    ]
    return f"health at step {row['step']}, {count} held-out images: {', '.join(said)}"
