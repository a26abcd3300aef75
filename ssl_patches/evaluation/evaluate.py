"""Measure a frozen encoder: probes of its features, beside the floors it has to clear.

A metric without its floor says little: random weights and raw pixels reach much more than chance on
small images.

The traps: (a) both splits must go through the same model, mode, pooling and preprocessing: here
they go through one reader (see ``passes``); (b) images without a label are left out, not counted as
a class, and not even encoded; (c) the same limit for the trained encoder and its floors, or the
bank's size makes the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssl_patches.data.wrapped import as_source
from ssl_patches.evaluation import floors as kept
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.extract import Precision
from ssl_patches.evaluation.features.parts import Family
from ssl_patches.evaluation.features.passes import (
    Split,
    kind_of_sources,
    read_features,
    seen_in_training,
    with_label,
)
from ssl_patches.evaluation.labels import Kind, check_targets, kind_of, targets
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.frozen import Knn, Linear
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.table import DEFAULT, check_names, own_numbers, probes_named
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.record import Record
from ssl_patches.evaluation.rows import RANDOM_INIT, RAW_PIXELS, TRAINED, Row


def score(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    model_name: str,
    data_name: str,
    classes: int | None = None,
    device: str | torch.device = "cpu",
) -> list[Row]:
    """Measure features (M, dim), (N, dim) by kNN and the linear probe.

    Labels (M,), (N,) are in 0..classes-1, or -1 for none. They may also be of the other kinds (see
    ``labels``). ``classes`` None: the highest label + 1. Where fewer than k images are in the bank,
    the row is named after the number that voted (``knn12_top1``). ValueError for features that are
    not finite, and for train labels with nothing to tell apart.
    """
    kind = kind_of(train_y)
    known, queries = with_label(train_y, kind, "train"), with_label(test_y, kind, "test")
    inputs = _inputs(
        ({"pooled": train_x[known]}, train_y[known]),
        ({"pooled": test_x[queries]}, test_y[queries]),
        kind=kind,
        classes=classes,
        model=model_name,
        data=data_name,
        device=device,
    )
    return [row for probe in (Knn(), Linear()) for row in probe.rows(inputs)]


def evaluate_encoder(
    *,
    encoder: nn.Module,
    random_init: nn.Module | None,
    train_source: Dataset[tuple[Tensor, int, int]],
    test_source: Dataset[tuple[Tensor, int, int]],
    batch_size: int,
    num_workers: int,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
    data_name: str = "data",
    limit_train: int | None = None,
    limit_test: int | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    **options: Any,
) -> list[Row]:
    """Evaluate an encoder on two sources of images, and return the rows of it and its floors.

    ``encoder``: normalised (B, C, image_size, image_size) -> (B, dim), like ``random_init``. The
    images are those of ``EvalData``, ``options`` and errors those of ``evaluate_model``.
    """
    eval_data = EvalData(
        train=as_source(train_source),
        test=as_source(test_source),
        batch_size=batch_size,
        num_workers=num_workers,
        mean=mean,
        std=std,
        image_size=image_size,
        limit_train=limit_train,
        limit_test=limit_test,
        device=device,
        precision=precision,
    )
    return evaluate_model(
        encoder, eval_data, random_init=random_init, data_name=data_name, **options
    ).rows


def evaluate_model(
    encoder: nn.Module,
    eval_data: EvalData,
    *,
    random_init: nn.Module | None,
    model_name: str = TRAINED,
    data_name: str = "data",
    probes: Sequence[str] | Mapping[str, Probe] = DEFAULT,
    labels: str = "auto",
    floors: bool = True,
    floors_cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Record:
    """Evaluate a model by probes and return the record, with ``floors`` also of the floors.

    ``probes``: names, or probes by name. The models are plain timm-like ones: normalised (B, C,
    image_size, image_size) -> (B, dim). ``random_init`` None leaves that floor out. Raw pixels get
    the probes that ask for nothing but the pooled feature. ``labels``: auto, or a kind (see
    ``labels``). ``floors_cache``: a folder in which the floors' rows are kept for the next run on
    the same data. ``progress`` is told the number of images of each batch, train first, then test;
    ``tell`` which probe of which model comes next. ValueError when images have another size, when
    labels are missing or have nothing to tell apart, and when the same images do not give the same
    features twice.
    """
    if not isinstance(probes, Mapping):
        check_names(probes)
        probes = probes_named(probes)
    kind: Kind = "class"
    if any(probe.reads for probe in probes.values()) or (
        any(probe.wants == "labels" for probe in probes.values()) and _both_labelled(eval_data)
    ):
        kind = kind_of_sources(eval_data, labels)
    images = ProbeInputs.of_images(None, eval_data, model=model_name, data=data_name, kind=kind)
    for asked in probes.values():
        asked.check(images)
    models: dict[str, nn.Module | None] = {model_name: encoder}
    if floors:
        models |= {} if random_init is None else {RANDOM_INIT: random_init}
        models |= {RAW_PIXELS: None}
    fitting = {
        name: [probe for probe in probes if model is not None or probes[probe].pixels]
        for name, model in models.items()
    }
    keys = kept.floor_keys(models, eval_data, kind, probes, fitting) if floors else {}
    if floors_cache is not None and not kept.make_folder(floors_cache):
        floors_cache = None
    known = kept.recalled(floors_cache, keys, data_name)
    missing = {
        name: [probe for probe in some if (name, probe) not in known]
        for name, some in fitting.items()
    }
    families = {
        name: frozenset[Family]().union(*(probes[probe].reads for probe in some))
        for name, some in missing.items()
        if some
    }
    predictions: dict[str, Tensor] = {}
    fresh: dict[tuple[str, str], dict[str, Tensor]] = {}
    chosen: dict[str, Any] = {}
    train, test = read_features(
        {name: models[name] for name in families}, families, eval_data, kind, progress
    )
    for name in families:
        inputs = _inputs(
            _taken(train, name),
            _taken(test, name),
            kind=kind,
            model=name,
            data=data_name,
            device=eval_data.device,
            encoder=models[name],
            eval_data=eval_data,
        )
        for probe in missing[name]:
            if tell is not None:
                tell(f"{name}: {probe}")
            before = set(inputs.predictions)
            known[name, probe] = probes[probe].rows(inputs)
            fresh[name, probe] = own = {
                each: some for each, some in inputs.predictions.items() if each not in before
            }
            if floors_cache is not None and (name, probe) in keys:
                kept.keep_floors(floors_cache, keys[name, probe], known[name, probe], own)
        if name == model_name:
            predictions, chosen = inputs.predictions, inputs.chosen
    rows = [row for name, some in fitting.items() for probe in some for row in known[name, probe]]
    data: dict[str, Any] = {
        "name": data_name,
        "image_size": eval_data.image_size,
        "limits": [eval_data.limit_train, eval_data.limit_test],
    }
    return Record(
        rows=rows,
        kind=kind,
        index=test.index,
        labels=targets(test.labels, kind),
        predictions=predictions,
        chosen=chosen,
        protocol=PROTOCOL | own_numbers(probes),
        data=data | {"fingerprints": _fingerprints(eval_data)},
        classes=eval_data.test.classes if kind == "class" else (),
        precision=eval_data.precision,
        seen=seen_in_training(train, test),
        floors=kept.collected(floors_cache, keys, fresh),
    )


def _taken(split: Split, model: str) -> tuple[dict[str, Tensor], Tensor]:
    """Take the features of a model out of a split, which frees them afterwards, and its labels."""
    features = {name: split.features.pop((model, name)) for name in split.names(model)}
    return features, split.labels


def _inputs(
    train: tuple[Mapping[str, Tensor], Tensor],
    test: tuple[Mapping[str, Tensor], Tensor],
    *,
    kind: Kind,
    model: str,
    classes: int | None = None,
    **of: Any,
) -> ProbeInputs:
    """Make the inputs of a probe from features and labels of both splits.

    ValueError where no probe could work on them.
    """
    for (features, _), split in ((train, "train"), (test, "test")):
        for feature in features.values():
            if feature.dim() == 2 and not feature.isfinite().all():
                bad = int((~feature.isfinite().all(1)).sum())
                raise ValueError(
                    f"model={model}: features of {bad} {split} images are not finite; take an"
                    " earlier checkpoint, or precision=fp32"
                )
    train_y, test_y = (targets(labels, kind) for _, labels in (train, test))
    if train[0]:
        check_targets(train_y, test_y, kind)
        if kind == "class":
            classes = classes or int(torch.cat([train_y, test_y]).max()) + 1
    count = classes or 0 if kind == "class" else train_y.shape[1]
    return ProbeInputs(
        model=model,
        kind=kind,
        count=count,
        train=train[0],
        train_y=train_y,
        test=test[0],
        test_y=test_y,
        **of,
    )


def _both_labelled(eval_data: EvalData) -> bool:
    """Tell whether train and test have labels that are known without reading items."""
    return all(
        isinstance(source.labels, Tensor) and bool((source.labels != -1).any())
        for source in (eval_data.train, eval_data.test)
    )


def _fingerprints(eval_data: EvalData) -> list[str] | None:
    """Return the fingerprints of train and test, or None if either has none."""
    found = [source.fingerprint() for source in (eval_data.train, eval_data.test)]
    return found if all(found) else None
