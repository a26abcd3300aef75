"""Hold what a probe is given: one model on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.labels import Kind
from ssl_patches.evaluation.metrics import rows_of
from ssl_patches.evaluation.probes.linear import linear_probe
from ssl_patches.evaluation.probes.multilabel import multilabel_probe
from ssl_patches.evaluation.probes.ridge import value_probe
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import Row


@dataclass(frozen=True, kw_only=True)
class ProbeInputs:
    """One model on one data set: features and targets of the images that have a label.

    ``train``, ``test``: name of a feature -> (M, dim) or (M, tokens, dim) of the train images, (N,
    ...) of the test images; which ones is what the probe ``reads``. ``train_y``, ``test_y``:
    targets in the same order, int64 (M,), bool (M, L) or float32 (M, D). ``count``: classes, or
    labels or values per image. ``encoder`` is None for raw pixels; ``eval_data`` is None where
    features were handed over and no images. ``predictions`` and ``chosen`` collect what probes
    predict for the test images, and the settings that they chose on train, by name ("knn20").
    """

    model: str
    data: str
    kind: Kind
    count: int
    train: Mapping[str, Tensor]
    train_y: Tensor
    test: Mapping[str, Tensor]
    test_y: Tensor
    encoder: nn.Module | None = None
    eval_data: EvalData | None = None
    device: str | torch.device = "cpu"
    predictions: dict[str, Tensor] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_images(
        cls,
        encoder: nn.Module | None,
        eval_data: EvalData,
        *,
        model: str,
        data: str = "data",
        kind: Kind = "class",
    ) -> ProbeInputs:
        """Make the inputs of a probe that reads images itself: no features, no targets."""
        return cls(
            model=model,
            data=data,
            kind=kind,
            count=0,
            train={},
            train_y=torch.zeros(0, dtype=torch.long),
            test={},
            test_y=torch.zeros(0, dtype=torch.long),
            encoder=encoder,
            eval_data=eval_data,
            device=eval_data.device,
        )

    def images(self) -> EvalData:
        """Return the images. ValueError where features were handed over without them."""
        if self.eval_data is None:
            raise ValueError(
                "eval_data: this probe reads images itself and there are features only; evaluate"
                " with evaluate_model, or probes=[knn,linear]"
            )
        return self.eval_data

    def network(self) -> nn.Module:
        """Return the encoder. ValueError for raw pixels, which have none."""
        if self.encoder is None:
            raise ValueError(
                f"model={self.model}: this probe asks a network and there is none; set the probe's"
                " pixels to False"
            )
        return self.encoder

    def rows(
        self, name: str, predictions: Tensor, chosen: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """Turn predictions for the test images into rows, and keep them for paired tests.

        ``predictions``: classes (N,), scores (N, L) or values (N, D). The rows are called
        ``{name}_top1``, ``{name}_map``, or ``{name}_r2`` and ``{name}_mae``, after the kind of the
        labels. ``chosen``: settings that were chosen on train.
        """
        self.predictions[name] = predictions.cpu()
        if chosen is not None:
            self.chosen[name] = dict(chosen)
        return rows_of(
            predictions, self.test_y, kind=self.kind, name=name, model=self.model, data=self.data
        )

    def linear(
        self, train: Tensor, test: Tensor, some: Tensor | slice = slice(None)
    ) -> tuple[Tensor, dict[str, Any]]:
        """Predict the test targets by the linear probe of this kind of labels.

        ``train`` (M, dim), ``test`` (N, dim); ``some``: indices (m,) of the train images that are
        learned from. Returns classes (N,), scores (N, L) or values (N, D), and the settings.
        """
        settings = {key: PROTOCOL["linear"][key] for key in ("seed", "strengths", "held_out")}
        x, y = train[some].to(self.device), self.train_y[some].to(self.device)
        queries = test.to(self.device)
        if self.kind == "class":
            return linear_probe(x, y, queries, classes=self.count, **settings)
        probe = multilabel_probe if self.kind == "multilabel" else value_probe
        return probe(x, y, queries, **settings)
