"""Learn classes, yes/no labels or values of images from some labelled ones.

Fine-tuning tries ``trials`` settings, the same ones for every model, on held-out *labelled
training* images of the first draw; where a class has one image nothing can be held out, and the
first setting is taken. Settings chosen by test images would be the trap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_patches.data.module import items_of
from ssl_patches.data.order import permutation
from ssl_patches.data.source import ImageSource
from ssl_patches.evaluation.efficiency.draws import (
    draws_of,
    numbers_of_classes,
    numbers_of_images,
)
from ssl_patches.evaluation.efficiency.learner import (
    FROZEN,
    LEAST_STEPS,
    SETTINGS,
    TUNED,
    Learner,
    Progress,
)
from ssl_patches.evaluation.features.passes import Split, kind_of_sources, read_features
from ssl_patches.evaluation.labels import Kind, check_targets, labelled, targets
from ssl_patches.evaluation.metrics import MAIN, balanced_accuracy, metrics_of
from ssl_patches.evaluation.probes.finetune import RECIPE, Labelled, finetune, predictions_of
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.knn import knn_classes, knn_means
from ssl_patches.evaluation.probes.linear import shuffled_part, stratified
from ssl_patches.evaluation.protocol import HELD_OUT, PROTOCOL

BALANCED = "balanced"


class LabelLearner(Learner):
    """Learns classes, yes/no labels or values of images.

    ``balanced``: score classes by the mean of their shares told rightly, in place of accuracy.
    ValueError for it where labels are no classes.
    """

    batch = RECIPE["batch_size"]

    def __init__(self, inputs: ProbeInputs, *, balanced: bool = False) -> None:
        super().__init__(inputs)
        self.kind: Kind = kind_of_sources(self.eval_data, inputs.kind)
        if balanced and self.kind != "class":
            raise ValueError(
                f"label_efficiency.metric={BALANCED}: is a metric of classes, and these labels are"
                " none; leave label_efficiency.metric out"
            )
        self.metric, self.fit = BALANCED if balanced else MAIN[self.kind], 0.05
        self.key = {"labels": self.kind, "finetune": [SETTINGS, LEAST_STEPS]}
        if balanced:  # which decides the setting of fine-tuning
            self.key = {**self.key, "metric": BALANCED}
        self.columns = FROZEN if inputs.encoder is None else (*FROZEN, *TUNED)
        self.splits: tuple[Split, Split] | None = None
        train = self.eval_data.train
        self.train_y = _labels_of(train, self.kind, self.eval_data.limit_train)
        test_y = _labels_of(self.eval_data.test, self.kind, self.eval_data.limit_test)
        check_targets(self.train_y, test_y, self.kind)

    def numbers(self, wanted: Sequence[int] | None) -> list[int | None]:
        """Return the numbers of labels to learn from, None for all. ValueError for too many."""
        if self.kind == "class":
            return numbers_of_classes(self.train_y, wanted)
        return numbers_of_images(len(self.train_y), wanted, least=2)

    def draws(self, number: int | None, count: int) -> list[Tensor]:
        """Draw labelled images ``count`` times: positions (m,) among the labelled ones."""
        return draws_of(self.train_y, kind=self.kind, number=number, draws=count)

    def size(self, some: Tensor) -> float:
        """Return images per class of a draw (m,), or images where labels are no classes."""
        if self.kind != "class":
            return float(len(some))
        return len(some) / len(self.train_y.unique())

    def read(self, progress: Progress | None = None) -> None:
        """Read the pooled feature of every image with a label, once."""
        if self.splits is not None:
            return
        model = self.inputs.model
        models = {model: self.inputs.encoder}
        self.splits = read_features(
            models, {model: {"pooled"}}, self.eval_data, self.kind, progress
        )
        train, test = self.splits
        self.train_y = targets(train.labels, self.kind)  # of those that can be read
        check_targets(self.train_y, targets(test.labels, self.kind), self.kind)

    @property
    def taught(self) -> ProbeInputs:
        """Return the features as probes take them."""
        self.read()
        assert self.splits is not None
        train, test = self.splits
        test_y, one = targets(test.labels, self.kind), (self.inputs.model, "pooled")
        count = (
            int(torch.cat([self.train_y, test_y]).max()) + 1
            if self.kind == "class"
            else test_y.shape[1]
        )
        return ProbeInputs(
            model=self.inputs.model,
            data=self.inputs.data,
            kind=self.kind,
            count=count,
            train={"pooled": train.features[one]},
            train_y=self.train_y,
            test={"pooled": test.features[one]},
            test_y=test_y,
            device=self.inputs.device,
        )

    def frozen(self, some: Tensor) -> dict[str, Tensor]:
        """Answer (N, ...) by the linear probe and by neighbours, from the images ``some`` (m,)."""
        of = self.taught
        train, test = of.train["pooled"], of.test["pooled"]
        predicted, _ = of.linear(train, test, some)
        bank, queries = train[some].to(of.device), test.to(of.device)
        knn: dict[str, Any] = {
            "ks": (PROTOCOL["knn"]["k"],),
            "temperature": PROTOCOL["knn"]["temperature"],
        }
        if self.kind == "class":
            near = knn_classes(bank, of.train_y[some], queries, classes=of.count, **knn)
        else:
            near = knn_means(bank, of.train_y[some], queries, **knn)
        (neighbours,) = near.values()
        return {"linear": predicted.cpu(), "knn": neighbours.cpu()}

    def divided(self, some: Tensor) -> tuple[Tensor, Tensor]:
        """Hold out a share of each class of images (m,), or of all where labels are no classes."""
        y = self.taught.train_y[some]
        held = (
            stratified(y, share=HELD_OUT, seed=0)
            if self.kind == "class"
            else shuffled_part(len(y), share=HELD_OUT, seed=0)
        )
        return some[~held], some[held]

    def held_out_score(
        self, kept: Tensor, held: Tensor, setting: tuple[float, float], progress: Progress | None
    ) -> float:
        """Score a copy that was trained on ``kept`` (k,) by the metric, on ``held`` (h,)."""
        predicted, found = self._finetuned(kept, self._train_images(held), setting, progress)
        return self.values(predicted, found, torch.ones(1, len(found))).item()

    def finetuned(
        self, some: Tensor, setting: tuple[float, float], progress: Progress | None = None
    ) -> Tensor:
        """Answer (N, ...) by a copy that was trained on the images ``some`` (m,)."""
        self.read()
        assert self.splits is not None
        test = Labelled(self.eval_data.test, kind=self.kind, only=self.splits[1].index)
        return self._finetuned(some, test, setting, progress)[0]

    def right(self) -> Tensor:
        """Return the targets of the test images, (N, ...)."""
        return self.taught.test_y

    def values(self, answers: Tensor, right: Tensor, counts: Tensor) -> Tensor:
        """Compute the metric (R,) in percent."""
        if self.metric == BALANCED:
            return 100 * balanced_accuracy(answers, right, counts)
        return metrics_of(answers, right, kind=self.kind, counts=counts)[self.metric]

    def _train_images(self, some: Tensor) -> Labelled:
        assert self.splits is not None
        return Labelled(self.eval_data.train, kind=self.kind, only=self.splits[0].index[some])

    def _finetuned(
        self,
        some: Tensor,
        asked: Labelled,
        setting: tuple[float, float],
        progress: Progress | None,
    ) -> tuple[Tensor, Tensor]:
        """Train a copy on ``some``; returns predictions and targets of the images ``asked``."""
        of, data = self.taught, self.eval_data
        assert self.splits is not None
        source = data.large[0] if data.large else data.train
        net = finetune(
            self.inputs.network(),
            Labelled(source, kind=self.kind, only=self.splits[0].index[some]),
            count=of.count,
            kind=self.kind,
            image_size=data.image_size,
            mean=data.mean,
            std=data.std,
            epochs=self.epochs_of(len(some)),
            base_lr=setting[0],
            layer_decay=setting[1],
            num_workers=data.num_workers,
            device=data.device,
            precision=data.precision,
            progress=progress,
        )
        return predictions_of(net, asked, data, kind=self.kind)


def _labels_of(source: ImageSource, kind: Kind, limit: int | None) -> Tensor:
    """Return the targets (M, ...) of the images with a label that will be read."""
    chosen = torch.arange(len(source))
    if limit is not None:
        chosen = torch.from_numpy(permutation(len(source), 0, 0)[:limit].copy()).sort().values
    if source.labels is None:
        items = items_of(source, chosen.tolist())
        labels = torch.stack([torch.as_tensor(label) for _, label, _ in items])
    else:
        labels = source.labels[chosen]
    return targets(labels[labelled(labels, kind)], kind)
