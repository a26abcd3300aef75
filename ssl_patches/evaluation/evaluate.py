"""How good is a frozen encoder? Probes of its features, beside the floors it has to clear.

A figure without its floor says little: random weights and raw pixels reach much more than chance on
small images.

The traps: (a) both splits must go through the same model, mode, pooling and preprocessing: here
they go through one reader (see ``passes``); (b) images without a label are left out, not counted as
a class, and not even encoded; (c) the same limit for the trained encoder and its floors, or the
bank's size makes the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssl_patches.evaluation import floors as kept
from ssl_patches.evaluation.features.bench import Bench
from ssl_patches.evaluation.features.extract import Precision
from ssl_patches.evaluation.features.passes import kind_of_sources, read_features, with_label
from ssl_patches.evaluation.labels import Kind, check_targets, kind_of, targets
from ssl_patches.evaluation.probes.case import Case
from ssl_patches.evaluation.probes.table import DEFAULT, PROBES, check_names, knn, linear
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.record import Record
from ssl_patches.evaluation.rows import Row

Keys = dict[tuple[str, str], dict[str, Any]]  # of (floor, probe)
Rows = dict[tuple[str, str], list[Row]]
FLOORS = {"random_init", "raw_pixels"}


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
    """Rows of kNN and the linear probe, of features (M, dim), (N, dim) with labels in 0..classes-1
    or -1.

    Labels may also be of the other kinds (see ``labels``). ``classes`` None: the highest label + 1.
    Where fewer than k images are in the bank, the row is named after the number that voted
    (``knn12_top1``). ValueError for features that are not finite, and for train labels with nothing
    to tell apart.
    """
    kind = kind_of(train_y)
    has, asked = (
        with_label(labels, kind, split) for labels, split in ((train_y, "train"), (test_y, "test"))
    )
    splits = ({"pooled": train_x[has]}, train_y[has]), ({"pooled": test_x[asked]}, test_y[asked])
    case = _case(
        *splits, kind=kind, classes=classes, model=model_name, data=data_name, device=device
    )
    return [row for probe in (knn, linear) for row in probe(case)]


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
    """Rows of ``encoder`` ("trained") and its floors. The images are those of ``Bench``,
    ``options`` of ``evaluate_model``."""
    bench = Bench(
        train=train_source,
        test=test_source,
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
        encoder, bench, random_init=random_init, data_name=data_name, **options
    ).rows


def evaluate_model(
    encoder: nn.Module,
    bench: Bench,
    *,
    random_init: nn.Module | None,
    model_name: str = "trained",
    data_name: str = "data",
    probes: Sequence[str] = DEFAULT,
    labels: str = "auto",
    floors: bool = True,
    floors_cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Record:
    """The record of ``encoder``; its rows include, with ``floors``, those of "random_init" and
    "raw_pixels".

    The models are plain timm-like ones: normalised (B, C, image_size, image_size) -> (B, dim).
    ``random_init`` None leaves that floor out. Raw pixels get the probes that ask for nothing but
    the pooled feature. ``labels``: auto, or a kind (see ``labels``). ``floors_cache``: a folder in
    which the floors' rows are kept for the next run on the same data. ``progress`` is told the
    number of images of each batch, train first, then test; ``tell`` which probe of which model
    comes next. ValueError when images have another size, when labels are missing or have nothing to
    tell apart, and when the same images do not give the same features twice.
    """
    check_names(probes)
    kind = (
        kind_of_sources(bench, labels) if any(PROBES[probe].reads for probe in probes) else "class"
    )
    models: dict[str, nn.Module | None] = {model_name: encoder}
    if floors:
        models |= ({} if random_init is None else {"random_init": random_init}) | {
            "raw_pixels": None
        }
    todo = {
        name: [probe for probe in probes if _fits(probe, model)] for name, model in models.items()
    }
    keys = _floor_keys(models, bench, kind, todo) if floors else {}
    known = _recall(floors_cache, keys, data_name)
    wanted = {
        name: [probe for probe in some if (name, probe) not in known] for name, some in todo.items()
    }
    families = {
        name: frozenset().union(*(PROBES[probe].reads for probe in some))
        for name, some in wanted.items()
        if some
    }
    train, test = read_features(
        {name: models[name] for name in families}, families, bench, kind, progress
    )
    for name in families:
        own = [
            ({part: split.features.pop((name, part)) for part in split.parts(name)}, split.labels)
            for split in (train, test)
        ]
        case = _case(
            *own,
            kind=kind,
            model=name,
            data=data_name,
            device=bench.device,
            encoder=models[name],
            bench=bench,
        )
        for probe in wanted[name]:
            if tell is not None:
                tell(f"{name}: {probe}")
            known[name, probe] = PROBES[probe].rows(case)
            if floors_cache is not None and (name, probe) in keys:
                kept.save(floors_cache, keys[name, probe], known[name, probe])
        if name == model_name:
            answers, chosen = case.answers, case.chosen
    rows = [row for name, some in todo.items() for probe in some for row in known[name, probe]]
    said = {
        "name": data_name,
        "image_size": bench.image_size,
        "limits": [bench.limit_train, bench.limit_test],
    }
    return Record(
        rows=rows,
        kind=kind,
        index=test.index,
        labels=targets(test.labels, kind),
        answers=answers,
        chosen=chosen,
        protocol=PROTOCOL,
        data=said | {"fingerprints": _fingerprints(bench)},
        classes=bench.test.classes if kind == "class" else (),
    )


def _fits(probe: str, model: nn.Module | None) -> bool:
    """Raw pixels have neither layers nor tokens, nor a network to train or to ask."""
    return model is not None or PROBES[probe].pixels


def _case(
    train: tuple[Mapping[str, Tensor], Tensor],
    test: tuple[Mapping[str, Tensor], Tensor],
    *,
    kind: Kind,
    model: str,
    classes: int | None = None,
    **of: Any,
) -> Case:
    """Features and labels of both splits as a probe gets them. ValueError where no probe could work
    on them."""
    for (features, _), split in ((train, "train"), (test, "test")):
        for part in features.values():
            if part.dim() == 2 and not part.isfinite().all():
                bad = int((~part.isfinite().all(1)).sum())
                raise ValueError(f"model={model}: features of {bad} {split} images are not finite; take an earlier "
                                 "checkpoint, or precision=fp32")  # fmt: skip
    train_y, test_y = (targets(labels, kind) for _, labels in (train, test))
    if train[0]:
        check_targets(train_y, test_y, kind)
        classes = (
            classes or int(torch.cat([train_y, test_y]).max()) + 1 if kind == "class" else None
        )
    count = classes or 0 if kind == "class" else train_y.shape[1]
    return Case(
        model=model,
        kind=kind,
        count=count,
        train=train[0],
        train_y=train_y,
        test=test[0],
        test_y=test_y,
        **of,
    )


def _fingerprints(bench: Bench) -> list[str] | None:
    """Return the fingerprints of train and test, or None if either has none."""
    found = [source.fingerprint() for source in (bench.train, bench.test)]
    return found if all(found) else None


def _floor_keys(
    models: Mapping[str, nn.Module | None],
    bench: Bench,
    kind: Kind,
    todo: Mapping[str, Sequence[str]],
) -> Keys:
    """What the figures of each floor depend on; nothing where the data cannot be recognised."""
    prints = _fingerprints(bench)
    if prints is None:
        return {}
    seen = {"mean": list(bench.mean), "std": list(bench.std), "image_size": bench.image_size}
    common = {
        "data": prints,
        "protocol": PROTOCOL,
        "labels": kind,
        "limits": [bench.limit_train, bench.limit_test],
        **seen,
    }
    keys: Keys = {}
    for floor in FLOORS & models.keys():
        own = {"floor": floor}
        if models[floor] is not None:
            own |= {"precision": bench.precision, "weights": kept.digest(models[floor])}
        keys |= {(floor, probe): common | own | {"probe": probe} for probe in todo[floor]}
    return keys


def _recall(folder: Path | None, keys: Keys, data_name: str) -> Rows:
    """The rows of the floors that are kept, under today's name of the data."""
    if folder is None:
        return {}
    kept.prepare(folder)
    found = {which: kept.load(folder, key) for which, key in keys.items()}
    return {
        which: [replace(row, data=data_name) for row in rows]
        for which, rows in found.items()
        if rows is not None
    }
