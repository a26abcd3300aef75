"""How good is a frozen encoder? kNN and a linear probe, beside the floors it has to clear.

A figure without its floor says little: random weights and raw pixels reach much more than chance on small images.
``PROTOCOL`` holds every number that the figures depend on; whoever changes one raises ``version``, and figures of two
versions are not to be compared.

The traps: (a) both splits must go through the same model, mode and preprocessing (here: one function, one pass each);
(b) images without a label (-1) are left out, not counted as a class; (c) the same limit for the trained encoder and
its floors, or the bank's size makes the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ssl_patches.data.module import ordered_loader
from ssl_patches.evaluation import floors as kept
from ssl_patches.evaluation.features import Precision, Reader, collect, flat_pixels, frozen, reader
from ssl_patches.evaluation.intervals import Row, accuracy_row
from ssl_patches.evaluation.knn import votes, weighted_knn
from ssl_patches.evaluation.linear import HELD_OUT, STRENGTHS, linear_probe

Key = dict[str, Any]

PROTOCOL: dict[str, Any] = {
    "version": 1,
    "knn": {"k": 20, "temperature": 0.07, "similarity": "cosine"},
    "linear": {"strengths": list(STRENGTHS), "held_out": HELD_OUT, "seed": 0, "standardised": True},
    "raw_pixels": {"side": 16},
    "interval": {"kind": "wilson", "level": 0.95},
}


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
    """Rows ``knn20_top1`` and ``linear_top1`` of features (M, dim), (N, dim) with labels in 0..classes-1 or -1.

    ``classes`` None: the highest label + 1.
    Where fewer than 20 images are in the bank, the row is named after the number that voted (``knn12_top1``).
    ValueError for features that are not finite, and for train labels of one class or none.
    """
    for x, split in ((train_x, "train"), (test_x, "test")):
        if not x.isfinite().all():
            bad = int((~x.isfinite().all(1)).sum())
            raise ValueError(f"model={model_name}: features of {bad} {split} images are not finite; take an earlier "
                             "checkpoint, or precision=fp32")  # fmt: skip
    has, asked = _labelled(train_y, "train"), _labelled(test_y, "test")
    train_x, train_y, test_x, test_y = (x.to(device) for x in (train_x[has], train_y[has], test_x[asked], test_y[asked]))
    _check_classes(train_y, test_y)
    classes = int(max(train_y.max(), test_y.max())) + 1 if classes is None else classes
    knn, linear = PROTOCOL["knn"], PROTOCOL["linear"]
    k = votes(knn["k"], len(train_x))
    near = weighted_knn(train_x, train_y, test_x, k=k, temperature=knn["temperature"], classes=classes)
    probed, _ = linear_probe(
        train_x,
        train_y,
        test_x,
        classes=classes,
        seed=linear["seed"],
        strengths=linear["strengths"],
        held_out=linear["held_out"],
    )
    of = {"model": model_name, "data": data_name}
    return [
        accuracy_row(near, test_y, metric=f"knn{k}_top1", **of),
        accuracy_row(probed, test_y, metric="linear_top1", **of),
    ]


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
    floors: bool = True,
    floors_cache: Path | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> list[Row]:
    """Rows of ``encoder`` ("trained") and, with ``floors``, of "random_init" and "raw_pixels".

    The models are plain timm-like ones: normalised (B, C, image_size, image_size) -> (B, dim). The sources load at
    ``image_size``; limits take a fixed random part of them. ``random_init`` None leaves that floor out.
    ``floors_cache``: a folder in which the floors' rows are kept for the next run on the same data.
    ``progress`` is told the number of images of each batch: train first, then test. ValueError when images have
    another size, when labels are missing, and when train shows one class only.
    """
    sources = (train_source, test_source)
    _check_sources(*sources)
    keys: dict[str, Key | None] = {}
    if floors:
        seen = {"mean": list(mean), "std": list(std), "image_size": image_size, "limits": [limit_train, limit_test]}
        keys = _floor_keys(random_init, sources, seen, precision)
    known = _recall(floors_cache, keys, data_name)
    models = {"trained": encoder} | ({"random_init": random_init} if "random_init" in keys.keys() - known.keys() else {})
    with ExitStack() as stack:
        readers: dict[str, Reader] = {}
        for name, model in models.items():
            readers[name] = reader(stack.enter_context(frozen(model, device)), device=device, precision=precision)
        if "raw_pixels" in keys.keys() - known.keys():
            readers["raw_pixels"] = flat_pixels(PROTOCOL["raw_pixels"]["side"])
        readers = {name: _sized(read, image_size) for name, read in readers.items()}
        (train, train_y), (test, test_y) = (
            collect(
                ordered_loader(source, batch_size=batch_size, num_workers=num_workers, limit=limit),
                readers,
                mean=mean,
                std=std,
                device=device,
                progress=progress,
            )
            for source, limit in zip(sources, (limit_train, limit_test), strict=True)
        )
    for name in readers:
        features = (train.pop(name), train_y, test.pop(name), test_y)
        known[name] = score(*features, model_name=name, data_name=data_name, device=device)
        if floors_cache is not None and keys.get(name) is not None:
            kept.save(floors_cache, keys[name], known[name])
    return [row for name in ("trained", *keys) for row in known[name]]


def _floor_keys(
    random_init: nn.Module | None, sources: Sequence[Dataset[Any]], seen: Key, precision: Precision
) -> dict[str, Key | None]:
    """The floors that are asked for and what the figures of each depend on; None where the data cannot be recognised."""
    names = ["raw_pixels"] if random_init is None else ["random_init", "raw_pixels"]
    if not all(hasattr(source, "fingerprint") for source in sources):
        return dict.fromkeys(names)
    common = {"data": [source.fingerprint() for source in sources], "protocol": PROTOCOL} | seen
    weights = {"random_init": lambda: {"precision": precision, "weights": kept.digest(random_init)}, "raw_pixels": dict}
    return {name: common | {"floor": name} | weights[name]() for name in names}


def _recall(folder: Path | None, keys: dict[str, Key | None], data_name: str) -> dict[str, list[Row]]:
    """The rows of the floors that are kept, under today's name of the data."""
    if folder is None:
        return {}
    kept.prepare(folder)
    found = {name: kept.load(folder, key) for name, key in keys.items() if key is not None}
    return {name: [replace(row, data=data_name) for row in rows] for name, rows in found.items() if rows is not None}


def _sized(read: Reader, image_size: int) -> Reader:
    """``read``, which refuses images of another size than the exported preprocessing makes."""

    def checked(images: Tensor) -> Tensor:
        if images.shape[-2:] != (image_size, image_size):
            height, width = images.shape[-2:]
            raise ValueError(f"image_size={image_size}: evaluation got images of {height} x {width} px; build its sources "
                             f"with load_size={image_size}")  # fmt: skip
        return read(images)

    return checked


def _check_sources(train: Dataset[Any], test: Dataset[Any]) -> None:
    """Refuse what can be seen to lack labels before hours go into features of it."""
    for source, split in ((train, "train"), (test, "test")):
        if isinstance(getattr(source, "labels", None), Tensor):
            _labelled(source.labels, split)


def _labelled(labels: Tensor, split: str) -> Tensor:
    """Mask (N,) of the images that have a label. ValueError when there is none, or when labels are not one class each."""
    if labels.dim() != 1:
        raise ValueError(f"labels {tuple(labels.shape)} of {split}: kNN and the linear probe need one class per image, "
                         "(N,); evaluate with data that has classes")  # fmt: skip
    has = labels >= 0
    if not has.any():
        raise ValueError(f"data.root: none of the {len(labels)} {split} images has a label; kNN and the linear probe need "
                         "a folder of DIR/train/CLASS/file and DIR/val/CLASS/file, or DIR/CLASS/file")  # fmt: skip
    return has


def _check_classes(train: Tensor, test: Tensor) -> None:
    """A probe can be trained, and what it learns can occur in the test."""
    shown = train.unique()
    if len(shown) < 2:
        raise ValueError(f"data.root: the {len(train)} labelled train images show one class only ({int(shown[0])}); at least "
                         "2 are needed, raise limit_train or name data with more classes")  # fmt: skip
    if not torch.isin(test, shown).any():
        raise ValueError(f"data.root: no test image is of a class that train shows ({shown.tolist()[:20]}); the folders of "
                         "both splits must carry the same class names")  # fmt: skip
