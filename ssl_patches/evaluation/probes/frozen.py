"""Probe features that were read once: by neighbours, and by linear and attentive maps.

What each predicts for the test images goes through ``ProbeInputs.rows``, which makes metrics with
their bounds and keeps the predictions for paired tests.
"""

from __future__ import annotations

import torch

from ssl_patches.evaluation.metrics import MAIN, metrics_of
from ssl_patches.evaluation.probes.attentive import attentive_probe
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.knn import knn_classes, knn_means
from ssl_patches.evaluation.probes.lowshot import mean_row, samples
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import Row


class Knn(Probe):
    """Weighted k-nearest neighbours for every k of the protocol, named after how many voted."""

    reads = frozenset({"pooled"})
    pixels = True

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``knn20_top1`` and so on, a row or two for each k."""
        bank, queries = (split["pooled"].to(inputs.device) for split in (inputs.train, inputs.test))
        ks, temperature = PROTOCOL["knn"]["ks"], PROTOCOL["knn"]["temperature"]
        if inputs.kind == "class":
            found = knn_classes(
                bank, inputs.train_y, queries, ks=ks, temperature=temperature, classes=inputs.count
            )
        else:
            found = knn_means(bank, inputs.train_y, queries, ks=ks, temperature=temperature)
        return [row for k, predicted in found.items() for row in inputs.rows(f"knn{k}", predicted)]


class Linear(Probe):
    """The linear probe of the exported feature."""

    reads = frozenset({"pooled"})
    pixels = True

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``linear_top1``, or what the kind of the labels has in its place."""
        return inputs.rows("linear", *inputs.linear(inputs.train["pooled"], inputs.test["pooled"]))


class Layers(Probe):
    """Linear probes of every layer and of the last four together, and of the best layer."""

    reads = frozenset({"layers"})

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``linear_mean_layer3_top1``, ..., by mean and by class token.

        ``linear_best_layer`` is the layer that is best on the held-out part of train.
        """
        rows: list[Row] = []
        held_out: dict[str, float] = {}
        for pooling in ("mean", "cls"):
            # in the order of the layers
            names = [name for name in inputs.train if name.startswith(f"{pooling}.")]
            for layer in names:
                name = f"linear_{pooling}_layer{layer.partition('.')[2]}"
                rows += inputs.rows(name, *inputs.linear(inputs.train[layer], inputs.test[layer]))
                scores = inputs.chosen[name][f"held_out_{MAIN[inputs.kind]}"]
                held_out[name] = max(scores.values(), default=0.0)
            if len(last := names[-PROTOCOL["layers"]["last"] :]) > 1:
                train, test = (
                    torch.cat([split[layer] for layer in last], 1)
                    for split in (inputs.train, inputs.test)
                )
                rows += inputs.rows(
                    f"linear_{pooling}_last{len(last)}", *inputs.linear(train, test)
                )
        best = max(held_out, key=held_out.__getitem__)
        chosen = {"layer": best, "held_out": held_out}
        return rows + inputs.rows("linear_best_layer", inputs.predictions[best], chosen)


class Attentive(Probe):
    """The attentive probe of the last layer's tokens."""

    reads = frozenset({"tokens"})

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``attentive_top1``, or what the kind of the labels has in its place."""
        predictions, chosen = attentive_probe(
            inputs.train["tokens"],
            inputs.train_y,
            inputs.test["tokens"],
            **PROTOCOL["attentive"],
            kind=inputs.kind,
            count=inputs.count,
            device=inputs.device,
        )
        return inputs.rows("attentive", predictions, chosen)


class LowShot(Probe):
    """The linear probe of the exported feature from few labels: the mean over draws."""

    reads = frozenset({"pooled"})
    pixels = True

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``lowshot5_top1``, ``lowshot10pct_top1``, ...: images per class, or a share."""
        rows, train, test = [], inputs.train["pooled"], inputs.test["pooled"]
        for name, drawn in samples(inputs.train_y, kind=inputs.kind, **PROTOCOL["lowshot"]).items():
            found: dict[str, list[float]] = {}
            for some in drawn:
                predicted, _ = inputs.linear(train, test, some)
                for metric, value in metrics_of(
                    predicted.cpu(), inputs.test_y, kind=inputs.kind
                ).items():
                    found.setdefault(metric, []).append(value.item())
            rows += [
                mean_row(
                    values,
                    metric=f"{name}_{metric}",
                    model=inputs.model,
                    data=inputs.data,
                    n=len(inputs.test_y),
                )
                for metric, values in found.items()
            ]
        return rows
