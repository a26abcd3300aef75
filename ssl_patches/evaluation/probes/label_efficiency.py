"""Measure an encoder from few to all labels: is it worth having, and from how many on?

Frozen (the linear probe, nearest neighbours) and, where asked for, trained on from the labels
(``finetune``; ``scratch`` is the same recipe from random weights). Draws of labelled images and
test images are the same for every model, cells that are done are kept (``efficiency.cells``), and
after all models ``report`` says in a sentence which one to use from how many labels.

The traps: (a) a rival that was tuned less: fine-tuning tries the same settings for every model; (b)
labels of the test images in any choice: there are none, see ``efficiency.learners``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssl_patches.evaluation.efficiency.advice import advice, saved
from ssl_patches.evaluation.efficiency.curve import Curve
from ssl_patches.evaluation.efficiency.draws import KEY
from ssl_patches.evaluation.efficiency.label_learner import BALANCED
from ssl_patches.evaluation.efficiency.learner import FROZEN, SETTINGS, TUNED
from ssl_patches.evaluation.efficiency.learners import learner_of
from ssl_patches.evaluation.efficiency.work import Asked, Work
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.inputs import ProbeInputs
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
        self.columns, self.of, self.metric = tuple(columns), of, metric
        self.asked = Asked(labels, draws, tuned_draws, trials, None if kept is None else Path(kept))
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
        learner_of(inputs, of=self.of, metric=self.metric).numbers(self.asked.labels)

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``labels10_linear_top1`` and so on; ``..._scratch_...`` of random weights.

        What was computed before is read. ValueError as of ``check``.
        """
        learner = learner_of(inputs, of=self.of, metric=self.metric)
        work = Work(self.asked, inputs, learner)
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
