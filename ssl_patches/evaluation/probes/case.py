"""Hold what a probe is given: one model on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ssl_patches.evaluation.features.bench import Bench
from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.metrics import rows_of
from ssl_patches.evaluation.probes.linear import linear_probe
from ssl_patches.evaluation.probes.multilabel import multilabel_probe
from ssl_patches.evaluation.probes.ridge import value_probe
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import Row


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model on one data set. Features and targets are those of images that have a label, in the
    same order."""

    model: str  # "trained", "random_init", ...
    data: str
    kind: Kind
    count: int  # classes, or labels or values per image
    train: Mapping[str, Tensor]  # part -> (M, dim), or (M, tokens, dim)
    train_y: Tensor  # (M,) int64, (M, L) bool or (M, D) float32
    test: Mapping[str, Tensor]
    test_y: Tensor
    encoder: nn.Module | None = None  # raw pixels have none
    bench: Bench | None = None
    device: str | torch.device = "cpu"
    answers: dict[str, Tensor] = field(
        default_factory=dict
    )  # per test image, by the figure's stem ("knn20")
    chosen: dict[str, Any] = field(default_factory=dict)  # settings that probes chose on train

    def rows(
        self, name: str, answers: Tensor, chosen: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """Rows ``{name}_top1`` (or ``_map``, or ``_r2`` and ``_mae``) of what a probe answered for
        the test images."""
        self.answers[name] = answers.cpu()
        if chosen is not None:
            self.chosen[name] = dict(chosen)
        return rows_of(
            answers, self.test_y, kind=self.kind, name=name, model=self.model, data=self.data
        )

    def linear(
        self, train: Tensor, test: Tensor, some: Tensor | slice = slice(None)
    ) -> tuple[Tensor, dict[str, Any]]:
        """Answers and settings of the linear probe of this kind of labels, on ``some`` of the train
        images."""
        settings = {key: PROTOCOL["linear"][key] for key in ("seed", "strengths", "held_out")}
        x, y, asked = (
            train[some].to(self.device),
            self.train_y[some].to(self.device),
            test.to(self.device),
        )
        if self.kind == "class":
            return linear_probe(x, y, asked, classes=self.count, **settings)
        return (multilabel_probe if self.kind == "multilabel" else value_probe)(
            x, y, asked, **settings
        )
