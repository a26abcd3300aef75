"""Fill the table of one model: accuracy from each number of labels, by each column.

A cell is one column, one number of labels and one draw of them. Cells that are done are read
(``cells.py``), so a table that was killed goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ssl_patches.config.plain_text import printable
from ssl_patches.evaluation import floors
from ssl_patches.evaluation.efficiency.cells import Cell, Cells
from ssl_patches.evaluation.efficiency.cost import STEP, forward_flops
from ssl_patches.evaluation.efficiency.curve import Curve, Point, curve_point
from ssl_patches.evaluation.efficiency.learner import TUNED, Learner
from ssl_patches.evaluation.efficiency.learners import eval_key
from ssl_patches.evaluation.metrics import resamples
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.protocol import PROTOCOL


@dataclass(frozen=True)
class Asked:
    """What was asked of a table; the fields are the arguments of ``LabelEfficiency``."""

    labels: list[int] | None
    draws: int
    tuned_draws: int
    trials: int
    kept: Path | None

    def draws_of(self, column: str) -> int:
        """Return how often labels are drawn for a column."""
        return self.tuned_draws if column in TUNED else self.draws


class Work:
    """The cells of one model: read, or computed and kept.

    ``flops`` and ``seconds``: what its cells cost, those that were read as well.
    """

    def __init__(self, asked: Asked, inputs: ProbeInputs, learner: Learner) -> None:
        self.asked, self.inputs, self.learner = asked, inputs, learner
        data = inputs.images()
        key, encoder = eval_key(data), inputs.encoder
        folder = asked.kept if key is not None else None
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
        numbers = self.learner.numbers(self.asked.labels)
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
            count = 1 if number is None else self.asked.draws_of(column)
            cells = [self._cell(column, number, draw) for draw in range(count)]
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
        setting, scores = learner.choose(first, self.asked.trials, progress)
        return setting, {"setting": list(setting), "scores": scores}

    def _read(self) -> float:
        """Read all features where they are not yet; returns the FLOPs that it took."""
        count = _Count(self.bar, self.per_image)
        self.learner.read(count)
        return count.total

    def _drawn(self, column: str, number: int | None) -> list[Tensor]:
        return self.learner.draws(number, self.asked.draws_of(column))

    def _which(self, column: str, number: int | None, draw: int) -> dict[str, Any]:
        which: dict[str, Any] = {"column": column, "number": number, "draw": draw}
        return which | ({"trials": self.asked.trials} if column in TUNED else {})

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
                    images += each * (missing + self.asked.trials * (self.asked.trials > 1))
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
