"""The probes by name, and what one of them is: a function of a ``Case`` (one model on one data set)
that gives rows.

A new probe is a function here or in a file of its own, and one line in ``PROBES``: the families of
features that it wants from the one pass over the images (see ``parts``), and the function. What it
answers for each test image goes through ``Case.rows``, which makes the figures with their bounds
and keeps the answers for paired tests. A probe that reads images itself (dense, fine-tuned) wants
no family and takes ``case.encoder`` and ``case.bench``.

The trap: choosing anything by a figure of the test images, such as the best layer. ``best_layer``
is chosen on the held-out part of train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ssl_patches.config.messages import nearest
from ssl_patches.evaluation.features.parts import Family
from ssl_patches.evaluation.metrics import MAIN, figures
from ssl_patches.evaluation.probes.attentive import attentive_probe
from ssl_patches.evaluation.probes.case import Case
from ssl_patches.evaluation.probes.knn import knn_classes, knn_means
from ssl_patches.evaluation.probes.lowshot import mean_row, samples
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import Row


def knn(case: Case) -> list[Row]:
    """k-nearest neighbours for every k of the protocol, named after how many voted."""
    bank, queries = case.train["pooled"].to(case.device), case.test["pooled"].to(case.device)
    options = {"ks": PROTOCOL["knn"]["ks"], "temperature": PROTOCOL["knn"]["temperature"]}
    if case.kind == "class":
        found = knn_classes(bank, case.train_y, queries, classes=case.count, **options)
    else:
        found = knn_means(bank, case.train_y, queries, **options)
    return [row for k, answers in found.items() for row in case.rows(f"knn{k}", answers)]


def linear(case: Case) -> list[Row]:
    """The linear probe of the exported feature."""
    return case.rows("linear", *case.linear(case.train["pooled"], case.test["pooled"]))


def layers(case: Case) -> list[Row]:
    """Linear probes of every layer and of the last four together, by mean and by class token, and
    of the best layer."""
    rows, held_out = [], {}
    for pooling in ("mean", "cls"):
        parts = [
            part for part in case.train if part.startswith(f"{pooling}.")
        ]  # in the order of the layers
        for part in parts:
            name = f"linear_{pooling}_layer{part.partition('.')[2]}"
            rows += case.rows(name, *case.linear(case.train[part], case.test[part]))
            held_out[name] = max(
                case.chosen[name][f"held_out_{MAIN[case.kind]}"].values(), default=0.0
            )
        if len(last := parts[-PROTOCOL["layers"]["last"] :]) > 1:
            train, test = (
                torch.cat([split[part] for part in last], 1) for split in (case.train, case.test)
            )
            rows += case.rows(f"linear_{pooling}_last{len(last)}", *case.linear(train, test))
    best = max(held_out, key=held_out.__getitem__)
    return rows + case.rows(
        "linear_best_layer", case.answers[best], {"layer": best, "held_out": held_out}
    )


def attentive(case: Case) -> list[Row]:
    """The attentive probe of the last layer's tokens."""
    options = PROTOCOL["attentive"] | {
        "kind": case.kind,
        "count": case.count,
        "device": case.device,
    }
    return case.rows(
        "attentive",
        *attentive_probe(case.train["tokens"], case.train_y, case.test["tokens"], **options),
    )


def lowshot(case: Case) -> list[Row]:
    """The linear probe of the exported feature from few labels: the mean over draws."""
    rows, train, test = [], case.train["pooled"], case.test["pooled"]
    for name, drawn in samples(case.train_y, kind=case.kind, **PROTOCOL["lowshot"]).items():
        found: dict[str, list[float]] = {}
        for some in drawn:
            answers, _ = case.linear(train, test, some)
            for figure, value in figures(answers.cpu(), case.test_y, kind=case.kind).items():
                found.setdefault(figure, []).append(value.item())
        of = {"model": case.model, "data": case.data, "n": len(case.test_y)}
        rows += [
            mean_row(values, metric=f"{name}_{figure}", **of) for figure, values in found.items()
        ]
    return rows


def segmentation(case: Case) -> list[Row]:
    """k-NN and linear segmentation of the feature map, on images with masks."""
    from ssl_patches.evaluation.probes.segmentation import evaluate_segmentation

    return evaluate_segmentation(case.encoder, case.bench, model=case.model, data=case.data)


def finetune(case: Case) -> list[Row]:
    """The whole encoder trained on; of random weights, the same recipe from scratch."""
    from ssl_patches.evaluation.probes.finetune import (
        evaluate_finetune,  # late, as below: an optimiser imports the compiler
    )

    return evaluate_finetune(
        case.encoder, case.bench, model=case.model, data=case.data, kind=case.kind
    )


def roles(case: Case) -> list[Row]:
    """What tiles, sizes, changes, attention and relations are to this encoder."""
    from ssl_patches.evaluation.probes.roles.roles import evaluate_roles

    return evaluate_roles(case.encoder, case.bench, model=case.model, data=case.data)


@dataclass(frozen=True, slots=True)
class Probe:
    """``reads``: families of features that the one pass over the images has to give. ``wants``: of
    the data."""

    reads: frozenset[Family]
    rows: Callable[[Case], list[Row]]
    wants: Literal["labels", "masks", "images"] = "labels"
    pixels: bool = False  # has an answer for raw pixels too


PROBES: dict[str, Probe] = {
    "knn": Probe(frozenset({"pooled"}), knn, pixels=True),
    "linear": Probe(frozenset({"pooled"}), linear, pixels=True),
    "layers": Probe(frozenset({"layers"}), layers),
    "attentive": Probe(frozenset({"tokens"}), attentive),
    "lowshot": Probe(frozenset({"pooled"}), lowshot, pixels=True),
    "segmentation": Probe(frozenset(), segmentation, wants="masks", pixels=True),
    "finetune": Probe(frozenset(), finetune),
    "roles": Probe(frozenset(), roles, wants="images"),
}
DEFAULT = ("knn", "linear")


def check_names(names: Sequence[str], key: str = "probes") -> None:
    """ValueError for none, for an unknown one, and for one named twice."""
    if not names:
        raise ValueError(f"{key}=[]: must name at least one; set {key}=[{','.join(DEFAULT)}]")
    for name in names:
        if name not in PROBES:
            raise ValueError(f"{key}=[{name}]: no such probe; {nearest(name, PROBES)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{key}=[{','.join(names)}]: one is named twice; name each once")


def check_probes(settings: Mapping[str, Any], prefix: str = "") -> None:
    """ValueError for what would only be found out after training."""
    for key in ("train_images", "test_images", "batch_size"):
        if settings[key] is not None and settings[key] < 1:
            raise ValueError(
                f"{prefix}{key}={settings[key]}: must be at least 1; set {prefix}{key}=256"
            )
    check_names(settings["probes"], f"{prefix}probes")
