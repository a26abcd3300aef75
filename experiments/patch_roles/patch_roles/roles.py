"""Measure what patches are good for on one exported encoder: the roles that belong to the encoder.

1 *feature extraction*: accuracy when 1, 4, 9, 16 tiles of half the side are encoded alone and
averaged (Chen et al. 2022, arXiv:2209.15261), beside the whole image; 2 *compute*: FLOPs and images
per CPU second against the number of tokens; 4 *local information*: the probe ``segmentation`` of
ssl_patches; 5 *invariance*: cosine under five changes beside that of different images; 6 *scales*:
accuracy against the size of the tile and against the input size; 7 *attention*: its share on
objects, beside chance; 8 *relations*: in which of 8 directions does this tile lie of that one?, by
a linear probe on the two features. Role 3, augmentation by random crops, is a property of training:
two runs compared, not one encoder measured.

Accuracy is that of the weighted kNN, which trains nothing. The traps: (a) tiles of relations lie
apart, or edges that go on would tell; (b) train and test images are seen in the same way at each
point of a curve; (c) one direction per test image is asked, for nine answers about one image are
not nine draws.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from patch_roles.invariance import invariance
from patch_roles.look import Look, grid_boxes
from patch_roles.objects import attention_maps, on_objects
from patch_roles.protocol import NUMBERS
from patch_roles.sizes import at_size, forward_flops, speed, tokens, usable_sizes
from ssl_patches.data.masks import HasMasks, WithMasks
from ssl_patches.data.module import Item, ordered_loader
from ssl_patches.evaluation.attention import attends
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.extract import frozen
from ssl_patches.evaluation.metrics import LEVEL
from ssl_patches.evaluation.probes.knn import votes, weighted_knn
from ssl_patches.evaluation.probes.linear import linear_probe
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import Row, accuracy_row

KNN = PROTOCOL["knn"]


class Shown(NamedTuple):
    """Images held in memory with their classes; -1 = none."""

    images: Tensor  # (N, C, H, H) uint8
    labels: Tensor  # (N,)


def shown(source: Dataset[Item], *, limit: int, num_workers: int = 0) -> Shown:
    """At most ``limit`` images of a source, a fixed random part."""
    parts = list(ordered_loader(source, batch_size=64, num_workers=num_workers, limit=limit))
    return Shown(
        torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
    )


def accuracy(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, *, metric: str, **of: str
) -> Row:
    """kNN accuracy (features (N, dim), labels (N,)) as a row named ``METRIC_knn20_top1``, or after
    how many voted."""
    classes = int(max(train_y.max(), test_y.max())) + 1
    k = votes(KNN["k"], len(train_x))
    found = weighted_knn(
        train_x, train_y, test_x, k=k, temperature=KNN["temperature"], classes=classes
    )
    return accuracy_row(found, test_y, metric=f"{metric}_knn{k}_top1", **of)


def bag(tiles: Tensor) -> Tensor:
    """Features (N, T, dim) -> the mean of the L2-normalised ones, (N, dim)."""
    return F.normalize(tiles, dim=2).mean(1)


def tile_rows(look: Look, train: Shown, test: Shown, **of: str) -> list[Row]:
    """Accuracy against the number of tiles averaged, and of one central tile against its size.
    Roles 1 and 6."""

    def row(metric: str, boxes: Tensor) -> Row:
        seen = (bag(look.tiles(part.images, boxes)) for part in (train, test))
        return accuracy(next(seen), train.labels, next(seen), test.labels, metric=metric, **of)

    each, scale = NUMBERS["tiles"]["each"], NUMBERS["tiles"]["scale"]
    rows = [row(f"tiles{n * n}", grid_boxes(n, scale)) for n in each]
    return rows + [
        row(f"scale{round(100 * side)}", grid_boxes(1, side)) for side in NUMBERS["tile_scales"]
    ]


def size_rows(look: Look, train: Shown | None, test: Shown, **of: str) -> list[Row]:
    """Per input size: tokens, FLOPs, images per CPU second and, with ``train``, accuracy. Roles 2
    and 6."""
    rows = []
    for side in usable_sizes(look.model, look.image_size, NUMBERS["input_factors"]):
        seen = replace(look, model=at_size(look.model, side), image_size=side)
        batch = seen.normalised(seen.pixels(test.images[: NUMBERS["speed"]["batch"]]))
        rates = speed(seen.model, batch, repeats=NUMBERS["speed"]["repeats"])
        exact = {
            "tokens": tokens(seen.model, batch),
            "mflops": forward_flops(seen.model, batch) / 1e6,
        }
        rows += [
            Row(metric=f"input{side}_{name}", value=v, low=v, high=v, n=len(batch), **of)
            for name, v in exact.items()
        ]
        bounds = {
            "value": rates.median().item(),
            "low": rates.min().item(),
            "high": rates.max().item(),
        }
        rows.append(Row(metric=f"input{side}_images_per_cpu_second", n=len(batch), **bounds, **of))
        if train is not None:
            seen_by = (seen(part.images) for part in (train, test))
            rows.append(
                accuracy(
                    next(seen_by),
                    train.labels,
                    next(seen_by),
                    test.labels,
                    metric=f"input{side}",
                    **of,
                )
            )
    return rows


def invariance_rows(look: Look, test: Shown, **of: str) -> list[Row]:
    """Mean cosine under each change and of different images, in percent. Role 5."""
    found = invariance(look, test.images)
    return [mean_row(values, metric=f"cosine_{name}", **of) for name, values in found.items()]


def attention_rows(
    look: Look, source: HasMasks, *, limit: int, num_workers: int = 0, **of: str
) -> list[Row]:
    """Share of attention on objects, on the objects of other images, and the objects' area, in
    percent. Role 7."""
    seen = shown(WithMasks(source), limit=limit, num_workers=num_workers)
    found = on_objects(attention_maps(look, seen.images), seen.labels, source.objects)
    names = {
        "own": "attention_on_objects",
        "other": "attention_on_other_objects",
        "area": "object_area",
    }
    return [mean_row(values, metric=names[name], **of) for name, values in found.items()]


def relation_rows(look: Look, train: Shown, test: Shown, **of: str) -> list[Row]:
    """Which of the 8 neighbours of the central tile is this? By features of the two, each encoded
    alone. Role 8."""
    pairs = []
    for part in (train, test):
        tiles = look.tiles(part.images, grid_boxes(3, NUMBERS["relations"]["scale"]))
        around = torch.cat([tiles[:, :4], tiles[:, 5:]], 1)
        pairs.append(torch.cat([tiles[:, 4:5].expand_as(around), around], 2))  # (N, 8, 2 * dim)
    known, asked = pairs
    direction = torch.arange(len(asked)) % 8
    told = torch.arange(8).repeat(len(known))
    found, _ = linear_probe(
        known.flatten(0, 1),
        told,
        asked[torch.arange(len(asked)), direction],
        classes=8,
        seed=NUMBERS["relations"]["seed"],
    )
    return [accuracy_row(found, direction, metric="relation_top1", **of)]


def evaluate_roles(encoder: nn.Module, eval_data: EvalData, *, model: str, data: str) -> list[Row]:
    """All rows of one timm model. Accuracy needs classes, attention a ViT and masks; what is not
    there is left out.

    Without limits 500 train and 250 test images are taken. ValueError when test images are fewer
    than two.
    """
    of = {"model": model, "data": data}
    sources, limits = (
        eval_data.large or (eval_data.train, eval_data.test),
        (eval_data.limit_train, eval_data.limit_test),
    )
    limits = [
        limit or NUMBERS[f"{name}_images"]
        for limit, name in zip(limits, ("train", "test"), strict=True)
    ]
    train, test = (
        shown(source, limit=n, num_workers=eval_data.num_workers)
        for source, n in zip(sources, limits, strict=True)
    )
    known, asked = _labelled(train), _labelled(test)
    labels = len(asked.labels) > 0 and len(known.labels.unique()) > 1
    with frozen(encoder, eval_data.device) as net:
        look = Look(
            net,
            eval_data.image_size,
            eval_data.mean,
            eval_data.std,
            eval_data.device,
            eval_data.precision,
        )
        rows = tile_rows(look, known, asked, **of) if labels else []
        rows += size_rows(look, known if labels else None, asked if labels else test, **of)
        rows += invariance_rows(look, test, **of)
        if attends(net) and isinstance(sources[1], HasMasks):
            rows += attention_rows(
                look, sources[1], limit=limits[1], num_workers=eval_data.num_workers, **of
            )
        return rows + relation_rows(look, train, test, **of)


def mean_row(values: Tensor, *, metric: str, level: float = LEVEL, **of: str) -> Row:
    """Mean of per-image values (N,) in 0..1 as percent, with its normal interval; of one value the
    interval is open."""
    n = len(values)
    half = (
        NormalDist().inv_cdf(0.5 + level / 2) * values.double().std().item() / math.sqrt(n)
        if n > 1
        else math.inf
    )
    mean = values.double().mean().item()
    return Row(
        metric=metric,
        value=100 * mean,
        low=100 * (mean - half),
        high=100 * (mean + half),
        n=n,
        **of,
    )


def _labelled(part: Shown) -> Shown:
    if part.labels.dim() != 1:
        return Shown(part.images[:0], part.labels[:0])
    return Shown(part.images[part.labels >= 0], part.labels[part.labels >= 0])
