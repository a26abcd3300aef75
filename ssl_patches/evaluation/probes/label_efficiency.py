"""Measure an encoder from few to all labels: is it worth having, and from how many on?

Frozen (the linear probe, nearest neighbours) and, where asked for, trained on from the labels
(``finetune``; ``scratch`` is the same recipe from random weights). Draws of labelled images and
test images are the same for every model, cells that are done are kept (``efficiency.cells``), and
after all models ``report`` says in a sentence which one to use from how many labels.

The traps: (a) a rival that was tuned less: fine-tuning tries the same settings for every model; (b)
labels of the test images in any choice: there are none, see ``efficiency.learners``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ssl_patches.config.plain_text import printable
from ssl_patches.evaluation import floors
from ssl_patches.evaluation.efficiency.advice import advice, saved
from ssl_patches.evaluation.efficiency.cells import Cell, Cells
from ssl_patches.evaluation.efficiency.cost import STEP, forward_flops
from ssl_patches.evaluation.efficiency.curve import Curve, Point, curve_point
from ssl_patches.evaluation.efficiency.draws import KEY
from ssl_patches.evaluation.efficiency.label_learner import BALANCED
from ssl_patches.evaluation.efficiency.learner import FROZEN, SETTINGS, TUNED, Learner
from ssl_patches.evaluation.efficiency.learners import eval_key, learner_of
from ssl_patches.evaluation.metrics import resamples
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import RANDOM_INIT, Row

GROUP = "label_efficiency"


class LabelEfficiency(Probe):
    """A metric over the number of labels, of frozen and of fine-tuned encoders.

    ``labels``: numbers of labels per class, or of images where labels are no classes; all is always
    added. None: 1, 5, 10, 50, 100, or as many as there are. Why: where curves bend, on a log axis.
    ``draws``: of each number. Why: one draw strays by several points; the t-interval needs some.
    ``columns``: of linear, knn, finetune, scratch. Why: frozen ones take seconds, the others train.
    ``trials``: settings that fine-tuning tries, on held-out labelled training images. Why: the
    learning rate decides most.
    ``tuned_draws``: draws of fine-tuned columns. Why: each is a training.
    ``of``: auto, labels or masks. Why: masks are learned where there are no labels.
    ``metric``: balanced, the mean over classes of the share told rightly; None: accuracy of
    classes. Why: where one class holds most test images, answering it always is accurate.
    ``kept``: a folder for cells that are done; None: nothing is kept. Why: evaluate names one.
    ValueError for numbers out of range and unknown columns.
    """

    pixels = True
    cuts = True
    keeps = True

    def __init__(
        self,
        *,
        labels: list[int] | None = None,
        draws: int = 5,
        columns: Sequence[str] = ("linear", "knn"),
        trials: int = 3,
        tuned_draws: int = 3,
        of: str = "auto",
        metric: str | None = None,
        kept: str | None = None,
    ) -> None:
        if labels is not None and (not labels or min(labels) < 1 or len(set(labels)) < len(labels)):
            raise ValueError(
                f"{KEY}={labels}: must be different numbers from 1; set {KEY}=[1,5,10,50,100]"
            )
        for name, value in (("draws", draws), ("tuned_draws", tuned_draws)):
            if value < 1:
                raise ValueError(f"{GROUP}.{name}={value}: must be at least 1; set it to 3")
        if not 1 <= trials <= len(SETTINGS):
            raise ValueError(
                f"{GROUP}.trials={trials}: must be 1 to {len(SETTINGS)}; set {GROUP}.trials=3"
            )
        for name in columns:
            if name not in (*FROZEN, *TUNED):
                raise ValueError(
                    f"{GROUP}.columns=[{name}]: must be of {', '.join((*FROZEN, *TUNED))}; set"
                    f" {GROUP}.columns=[linear,knn]"
                )
        if not set(columns) & set(FROZEN):
            raise ValueError(
                f"{GROUP}.columns=[{','.join(columns)}]: must hold linear or knn; set"
                f" {GROUP}.columns=[linear,{','.join(columns) or 'knn'}]"
            )
        if of not in ("auto", "labels", "masks"):
            raise ValueError(f"{GROUP}.of={of}: must be auto, labels or masks; set {GROUP}.of=auto")
        if metric not in (None, BALANCED):
            raise ValueError(
                f"{GROUP}.metric={metric}: must be {BALANCED}, or null for that of the labels"
                f" (accuracy of classes); set {GROUP}.metric={BALANCED}"
            )
        self.labels, self.draws, self.columns = labels, draws, tuple(columns)
        self.trials, self.tuned_draws, self.of, self.metric = trials, tuned_draws, of, metric
        self.kept = None if kept is None else Path(kept)
        self.curves: list[Curve] = []
        self.costs: dict[str, tuple[float, float]] = {}
        self.data = ""
        self.protocol = {
            "labels": labels,
            "draws": draws,
            "trials": trials,
            "tuned_draws": tuned_draws,
            "settings": [list(setting) for setting in SETTINGS[:trials]],
        }

    def check(self, inputs: ProbeInputs) -> None:
        """Refuse images with too few labels for what was asked, or nothing to tell apart."""
        learner_of(inputs, of=self.of, metric=self.metric).numbers(self.labels)

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``labels10_linear_top1`` and so on; ``..._scratch_...`` of random weights.

        What was computed before is read. ValueError as of ``check``.
        """
        learner = learner_of(inputs, of=self.of, metric=self.metric)
        work = _Work(self, inputs, learner)
        columns = [name for name in self._columns(inputs.model) if name in learner.columns]
        found = list(work.curves(columns))
        known = {(curve.model, curve.column) for curve in found}
        self.curves = [
            curve for curve in self.curves if (curve.model, curve.column) not in known
        ] + found
        self.costs[inputs.model], self.data = (work.flops, work.seconds), inputs.data
        return [row for curve in found for row in curve.rows(data=inputs.data)]

    def report(self, *, ours: str) -> list[str]:
        """Say which model to use from how many labels, what ours saves, and what it all cost."""
        costs = [
            f"{model} {flops / 1e12:.3g} TFLOP, {seconds / 60:.1f} min"
            for model, (flops, seconds) in self.costs.items()
        ]
        lines = saved(self.curves, ours=ours)
        sentence = advice(self.curves, ours=ours)
        return [
            f"cost of this table: {'; '.join(costs)}",
            *lines,
            *([sentence] if sentence else []),
        ]

    def _columns(self, model: str) -> list[str]:
        other = "finetune" if model == RANDOM_INIT else "scratch"
        return [name for name in self.columns if name != other]


class _Work:
    """The cells of one model: read, or computed and kept."""

    def __init__(self, probe: LabelEfficiency, inputs: ProbeInputs, learner: Learner) -> None:
        self.probe, self.inputs, self.learner = probe, inputs, learner
        data = inputs.images()
        key, encoder = eval_key(data), inputs.encoder
        folder = probe.kept if key is not None else None
        if folder is not None and not floors.make_folder(folder):
            folder = None
        self.cells = Cells(
            folder,
            weights=None if encoder is None else floors.digest(encoder),
            data=key,
            of=learner.key,
            protocol=PROTOCOL,
        )
        flops = forward_flops(encoder, image_size=data.image_size, channels=len(data.mean))
        self.per_image = flops or float(len(data.mean) * data.image_size**2)  # pixels: a sum
        self.flops = self.seconds = 0.0
        self.bar: Any = None

    def curves(self, columns: Sequence[str]) -> Iterator[Curve]:
        """Yield the curve of each column, frozen ones first."""
        numbers = self.learner.numbers(self.probe.labels)
        with tqdm(
            total=0,
            unit="FLOP",
            unit_scale=True,
            desc=printable(f"labels: {self.inputs.model}"),
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        ) as self.bar:
            self._announce(columns, numbers)
            drawn = {column: self._points(column, numbers) for column in columns}
        metric = self.learner.metric
        for column, points in drawn.items():
            yield Curve(model=self.inputs.model, column=column, metric=metric, points=points)

    def _points(self, column: str, numbers: Sequence[int | None]) -> list[Point]:
        points = []
        for number in numbers:
            count = self.probe.tuned_draws if column in TUNED else self.probe.draws
            cells = [
                self._cell(column, number, draw) for draw in range(1 if number is None else count)
            ]
            drawn = [self._value(cell) for cell in cells]
            n = len(cells[0].answers)
            points.append(curve_point(number, cells[0].size, drawn, n))
        return points

    def _value(self, cell: Cell) -> tuple[Tensor, Tensor]:
        """Compute the metric of a cell, (1,), and under resamples of the test images, (R,)."""
        n = len(cell.answers)
        value = self.learner.values(cell.answers, cell.targets, torch.ones(1, n))
        found = [self.learner.values(cell.answers, cell.targets, counts) for counts in resamples(n)]
        return value, torch.cat(found)

    def _cell(self, column: str, number: int | None, draw: int) -> Cell:
        """Read a cell, or compute it; of frozen columns both at once."""
        found = self.cells.load(**self._which(column, number, draw))
        if found is None:
            make = self._tuned if column in TUNED else self._frozen
            made = make(column, number, draw)
            for name, cell in made.items():
                self.cells.save(cell, **self._which(name, number, draw))
            found = made[column]
        self.flops, self.seconds = self.flops + found.flops, self.seconds + found.seconds
        return found

    def _frozen(self, column: str, number: int | None, draw: int) -> dict[str, Cell]:
        start = time.perf_counter()
        flops = self._read()
        some = self._drawn(column, number)[draw]
        answers = self.learner.frozen(some)
        self.bar.update(self.learner.fit * len(some) * self.per_image)
        seconds = (time.perf_counter() - start) / len(answers)
        return {
            name: Cell(
                answers=found,
                targets=self.learner.right(),
                size=self.learner.size(some),
                seconds=seconds,
                flops=flops / len(answers),
            )
            for name, found in answers.items()
        }

    def _tuned(self, column: str, number: int | None, draw: int) -> dict[str, Cell]:
        learner = self.learner
        start, spent = time.perf_counter(), self._read()
        drawn = self._drawn(column, number)
        images = _Count(self.bar, STEP * self.per_image)
        setting, chosen = self._setting(learner, drawn[0], column, number, images)
        answers = learner.finetuned(drawn[draw], setting, images)
        return {
            column: Cell(
                answers=answers,
                targets=learner.right(),
                size=learner.size(drawn[draw]),
                seconds=time.perf_counter() - start,
                flops=spent + images.total,
                chosen=chosen,
            )
        }

    def _setting(
        self,
        learner: Learner,
        first: Tensor,
        column: str,
        number: int | None,
        progress: Callable[[int], None],
    ) -> tuple[tuple[float, float], dict[str, Any]]:
        """Return the setting that the first draw chose, kept in the cell of that draw."""
        before = self.cells.load(**self._which(column, number, 0))
        if before is not None and "setting" in before.chosen:
            base_lr, decay = before.chosen["setting"]
            return (base_lr, decay), dict(before.chosen)
        setting, scores = learner.choose(first, self.probe.trials, progress)
        return setting, {"setting": list(setting), "scores": scores}

    def _read(self) -> float:
        """Read all features where they are not yet; returns the FLOPs that it took."""
        count = _Count(self.bar, self.per_image)
        self.learner.read(count)
        return count.total

    def _drawn(self, column: str, number: int | None) -> list[Tensor]:
        count = self.probe.tuned_draws if column in TUNED else self.probe.draws
        return self.learner.draws(number, count)

    def _which(self, column: str, number: int | None, draw: int) -> dict[str, Any]:
        which: dict[str, Any] = {"column": column, "number": number, "draw": draw}
        return which | ({"trials": self.probe.trials} if column in TUNED else {})

    def _announce(self, columns: Sequence[str], numbers: Sequence[int | None]) -> None:
        """Set the length of the bar: the FLOPs of all cells that are not there."""
        learner, images = self.learner, 0.0
        for column in columns:
            tuned = column in TUNED
            for number in numbers:
                drawn = self._drawn(column, number)
                missing = sum(
                    self.cells.load(**self._which(column, number, draw)) is None
                    for draw in range(len(drawn))
                )
                if tuned and missing:
                    each = STEP * learner.epochs_of(len(drawn[0])) * len(drawn[0])
                    images += each * (missing + self.probe.trials * (self.probe.trials > 1))
                elif column == columns[0]:  # frozen columns are computed together
                    images += missing * learner.fit * len(drawn[0])
        self.bar.total = self.per_image * (images + learner.images * (images > 0))
        self.bar.refresh()


class _Count:
    """Counts the FLOPs of images that are told, and moves the bar by them."""

    def __init__(self, bar: Any, each: float) -> None:
        self.bar, self.each, self.total = bar, each, 0.0

    def __call__(self, images: int) -> None:
        self.total += images * self.each
        self.bar.update(images * self.each)
