"""Which figures the rows of an evaluation allow, and the images, masks and predictions that they
show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ssl_patches.data.masks import WithMasks
from ssl_patches.evaluation.features.bench import Bench
from ssl_patches.evaluation.features.extract import frozen
from ssl_patches.evaluation.miou import enlarged
from ssl_patches.evaluation.probes.roles import figures
from ssl_patches.evaluation.probes.roles.attention import attention_maps
from ssl_patches.evaluation.probes.roles.look import Look
from ssl_patches.evaluation.probes.roles.roles import shown
from ssl_patches.evaluation.probes.segmentation import read_maps, scores_of
from ssl_patches.evaluation.rows import Row

IMAGES = 5
LEARNED_FROM = 200  # train images, for a picture of segmentation


def draw_figures(folder: Path, rows: Sequence[Row], encoder: nn.Module, bench: Bench) -> list[Path]:
    """The files written to ``folder``: one per role that has rows, and none where there are
    none."""
    metrics = {row.metric for row in rows}
    drawn = []
    for name, first, draw in (
        ("tiles", "tiles1_", figures.draw_tiles),
        ("sizes", "input", figures.draw_sizes),
        ("invariance", "cosine_", figures.draw_invariance),
    ):
        if any(metric.startswith(first) for metric in metrics):
            drawn.append(folder / f"{name}.png")
            draw(drawn[-1], rows)
    if "attention_on_objects" in metrics:
        drawn.append(folder / "attention.png")
        _draw_attention(drawn[-1], encoder, bench)
    if "miou_knn" in metrics:
        drawn.append(folder / "segmentation.png")
        _draw_segmentation(drawn[-1], encoder, bench)
    return drawn


def _draw_attention(path: Path, encoder: nn.Module, bench: Bench) -> None:
    source = WithMasks((bench.large or (bench.train, bench.test))[1])
    seen = shown(source, limit=4 * IMAGES)
    inside = torch.isin(seen.labels, torch.tensor(source.objects, dtype=seen.labels.dtype))
    images, inside = seen.images[inside.any((1, 2))][:IMAGES], inside[inside.any((1, 2))][:IMAGES]
    with frozen(encoder, bench.device) as net:
        look = Look(net, bench.image_size, bench.mean, bench.std, bench.device, bench.precision)
        figures.draw_attention(
            path, images=images, attention=attention_maps(look, images), objects=inside
        )


def _draw_segmentation(path: Path, encoder: nn.Module, bench: Bench) -> None:
    few = replace(
        bench, limit_train=min(bench.limit_train or LEARNED_FROM, LEARNED_FROM), limit_test=IMAGES
    )
    (train, masks), (test, truth) = read_maps(encoder, few, model="trained")
    classes = WithMasks(bench.train).classes
    scores = scores_of(train, masks, test, classes=len(classes))
    size = (truth.shape[1], truth.shape[2])
    predicted = {
        f"{name} ({len(train)} images)": enlarged(scores[key], size)
        for name, key in (("linear", "linear"), ("k-NN", "knn"))
    }
    images = shown(WithMasks(bench.test), limit=IMAGES).images
    figures.draw_segmentation(
        path, images=images, truth=truth, predicted=predicted, classes=classes
    )
