"""Segment images with a frozen encoder: what single positions of its feature map know.

* ``miou_knn``: nothing is trained. Every patch of the training images is remembered as its
  L2-normalised feature with the share of each class in its pixels; a test patch takes the shares of
  its k nearest, weighted by softmax(cosine / T) (Hummingbird; Balazevic et al. 2023,
  arXiv:2306.01667; k = 30, T = 0.02).
* ``miou_linear``: multinomial logistic regression per patch on the same shares, in the convex form
  of the linear probe. The L2 strength with the best mIoU on the *last* fifth of train is taken and
  fitted to all of it.

Both predict on the encoder's grid; scores are enlarged bilinearly to the mask, which keeps its own
size.

The traps: (a) the encoder's pooled output tells nothing here: features come from timm's
``forward_intermediates``, with the final norm, as the pooling would get them; (b) held out is the
tail of train in the order of names, not a random part, because neighbouring frames of a video are
near copies; (c) with few tokens the grid itself is a ceiling: ``miou_ceiling`` is what true shares
on the same grid reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_patches.data.masks import WithMasks
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.order import permutation
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.features.extract import Precision, Reader, autocast, collect, frozen
from ssl_patches.evaluation.miou import count_matches, enlarged, miou, miou_row
from ssl_patches.evaluation.probes.base import Probe
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.knn import knn_means
from ssl_patches.evaluation.probes.linear import Softmax, calm, chosen_strength, standardisation
from ssl_patches.evaluation.probes.segmentation_figure import draw_segmentation
from ssl_patches.evaluation.protocol import PROTOCOL
from ssl_patches.evaluation.rows import TRAINED, Row

NUMBERS = PROTOCOL["segmentation"]
PICTURES = 5
LEARNED_FROM = 200  # train images, for a picture


def dense_reader(model: Any, *, precision: Precision = "fp32", layer: int = -1) -> Reader:
    """Make a reader of normalised images (B, C, H, W) that gives feature maps (B, dim, h, w).

    ``model``: an ``nn.Module`` of timm's. ``layer``: which one, -1 is the last. ValueError for a
    model that gives no maps.
    """
    if not hasattr(model, "forward_intermediates"):
        raise ValueError(
            f"model: {type(model).__name__} gives no feature maps (timm's forward_intermediates);"
            " name an export or a timm model"
        )

    def read(images: Tensor) -> Tensor:
        with autocast(images.device, precision):
            (found,) = model.forward_intermediates(
                images, indices=[layer], norm=True, intermediates_only=True
            )
        return found

    return read


def dense_pixels(grid: tuple[int, int], *, each: int = 4) -> Reader:
    """Make a reader without a network: the pixels of each cell, averaged to ``each`` x ``each``.

    It gives (B, C * each * each, rows, cols) of images (B, C, H, W).
    """

    def read(images: Tensor) -> Tensor:
        small = F.adaptive_avg_pool2d(images, (grid[0] * each, grid[1] * each))
        return F.pixel_unshuffle(small, each)

    return read


def grid_of(maps: Tensor) -> tuple[int, int]:
    """Return the rows and columns (h, w) of feature maps (N, dim, h, w)."""
    return maps.shape[2], maps.shape[3]


def shares_of(masks: Tensor, *, classes: int, grid: tuple[int, int]) -> Tensor:
    """Compute the share of each class in the pixels of a cell, (N, classes, h, w).

    ``masks`` (N, H, W), -1 = unlabelled.
    The shares of a cell sum to its labelled part: 1, less where it is partly unlabelled, 0 where it
    is wholly so.
    """
    shares = []
    for some in masks.split(8):
        one_hot = F.one_hot(some.long() + 1, classes + 1)[..., 1:].permute(0, 3, 1, 2).float()
        shares.append(F.adaptive_avg_pool2d(one_hot, grid))
    return torch.cat(shares)


def knn_segmentation(
    memory: Tensor, shares: Tensor, queries: Tensor, *, k: int = 30, temperature: float = 0.02
) -> Tensor:
    """Predict class scores (N, classes) of ``queries`` (N, dim) by the nearest in ``memory``.

    ``memory`` (M, dim) with ``shares`` (M, classes).

    Cells without a labelled pixel are left out of the memory. A smaller memory than ``k`` votes as
    a whole.
    """
    labelled = shares.sum(1) > 0
    memory, shares = memory[labelled], shares[labelled]
    (scores,) = knn_means(
        memory, shares / shares.sum(1, keepdim=True), queries, ks=(k,), temperature=temperature
    ).values()
    return scores


class SoftTargets(Softmax):
    """Logistic regression towards shares (N, classes); a row's sum is its weight."""

    def __call__(self, x: Tensor) -> Tensor:
        """Predict logits (N, classes) for ``x`` (N, dim)."""
        return self._logits(x, self.weight, self.bias).T

    def _compared(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        targets, log_share = labels.T, logits.log_softmax(0)
        lost = -(targets * log_share).double().sum()
        return lost, log_share.exp_() * targets.sum(0) - targets


def linear_segmentation(
    train: Tensor,
    masks: Tensor,
    test: Tensor,
    *,
    classes: int,
    strengths: Sequence[float],
    held_out: float,
) -> tuple[Tensor, dict[str, Any]]:
    """Predict class scores (N, classes, h, w) for ``test`` (N, dim, h, w), and tell the settings.

    It learns from ``train`` (M, dim, h, w) and its masks (M, H, W).
    The settings say ``strength``, ``held_out`` (how many images chose it; 0 for a single image, and
    the middle of the grid is taken), ``held_out_miou`` (percent per strength), ``edge`` and
    ``converged``.
    """
    shares = shares_of(masks, classes=classes, grid=grid_of(train))
    mean, scale = standardisation(_cells(train))
    x, y = (_cells(train).float() - mean) / scale, _cells(shares)
    grid, cells = sorted(strengths, reverse=True), train.shape[2] * train.shape[3]
    held = min(max(1, round(held_out * len(train))), len(train) - 1)
    path, found = None, dict[float, float]()
    with calm(x.numel() * classes):
        if held:
            kept = (len(train) - held) * cells
            path = SoftTargets(x[:kept], y[:kept], classes=classes)
            for strength in grid:
                path.fit(strength)
                counts = count_matches(_maps(path(x[kept:]), like=train), masks[-held:]).sum(0)
                found[strength] = 100 * miou(counts).item()
        strength, settings = chosen_strength(grid, found, held_out=held, metric="miou")
        model = SoftTargets(x, y, classes=classes, start=path)
        settings["converged"] = model.fit(strength)
    return _maps(model((_cells(test).float() - mean) / scale), like=test), settings


def scores_of(train: Tensor, masks: Tensor, test: Tensor, *, classes: int) -> dict[str, Tensor]:
    """Predict class scores (N, classes, h, w) by ``linear`` and ``knn``, as the protocol says.

    ``train`` (M, dim, h, w) with ``masks`` (M, H, W), ``test`` (N, dim, h, w).
    """
    knn, linear = NUMBERS["knn"], NUMBERS["linear"]
    memory, shares = (
        _cells(train),
        _cells(shares_of(masks, classes=classes, grid=grid_of(train))),
    )
    if len(memory) > knn["memory"]:
        chosen = torch.from_numpy(permutation(len(memory), 0, 0)[: knn["memory"]].copy())
        memory, shares = memory[chosen], shares[chosen]
    near = knn_segmentation(
        memory, shares, _cells(test), k=knn["k"], temperature=knn["temperature"]
    )
    options = {key: linear[key] for key in ("strengths", "held_out")}
    return {
        "linear": linear_segmentation(train, masks, test, classes=classes, **options)[0],
        "knn": _maps(near, like=test),
    }


class Segmentation(Probe):
    """k-NN and linear segmentation of the feature map, on images with masks."""

    wants = "masks"
    pixels = True

    def rows(self, inputs: ProbeInputs) -> list[Row]:
        """Return ``miou_linear``, ``miou_knn``, and ``miou_ceiling``, what the grid allows.

        Raw pixels have a grid of their own. ValueError for images without masks and for features
        that are not finite.
        """
        eval_data = inputs.images()
        classes = len(WithMasks(eval_data.train).classes)
        (train, masks), (test, truth) = read_maps(inputs.encoder, eval_data, model=inputs.model)
        scores = scores_of(train, masks, test, classes=classes)
        scores["ceiling"] = shares_of(truth, classes=classes, grid=grid_of(test))
        return [
            miou_row(
                count_matches(score, truth),
                model=inputs.model,
                data=inputs.data,
                metric=f"miou_{name}",
            )
            for name, score in scores.items()
        ]

    def draw(
        self, folder: Path, rows: Sequence[Row], encoder: nn.Module, eval_data: EvalData
    ) -> list[Path]:
        """Draw ``segmentation.png``: some test images, their masks and the predictions."""
        few = replace(
            eval_data,
            limit_train=min(eval_data.limit_train or LEARNED_FROM, LEARNED_FROM),
            limit_test=PICTURES,
        )
        (train, masks), (test, truth) = read_maps(encoder, few, model=TRAINED)
        source: Any = WithMasks(eval_data.test)
        scores = scores_of(train, masks, test, classes=len(source.classes))
        size = (truth.shape[1], truth.shape[2])
        batches = ordered_loader(source, batch_size=PICTURES, num_workers=0, limit=PICTURES)
        path = draw_segmentation(
            folder / "segmentation.png",
            images=torch.cat([batch.images for batch in batches]),
            truth=truth,
            predicted={
                f"{title} ({len(train)} images)": enlarged(scores[name], size)
                for title, name in (("linear", "linear"), ("k-NN", "knn"))
            },
            classes=source.classes,
        )
        return [path]


def read_maps(
    encoder: nn.Module | None, eval_data: EvalData, *, model: str
) -> list[tuple[Tensor, Tensor]]:
    """Read feature maps (N, dim, h, w) and masks (N, H, W) of train and of test.

    Maps are float16 on disk. ``encoder`` None: raw pixels. ValueError for images without masks and
    for features that are not finite.
    """
    raw, found = NUMBERS["raw_pixels"], []
    with ExitStack() as stack:
        if encoder is None:
            read = dense_pixels((raw["grid"], raw["grid"]), each=raw["each"])
        else:
            net = stack.enter_context(frozen(encoder, eval_data.device))
            read = dense_reader(net, precision=eval_data.precision, layer=NUMBERS["layer"])
        for source, limit in (
            (eval_data.train, eval_data.limit_train),
            (eval_data.test, eval_data.limit_test),
        ):
            masked: Any = WithMasks(source)
            loader = ordered_loader(
                masked,
                batch_size=eval_data.batch_size,
                num_workers=eval_data.num_workers,
                limit=limit,
            )
            features, masks = collect(
                loader,
                {model: read},
                mean=eval_data.mean,
                std=eval_data.std,
                device=eval_data.device,
            )
            if not features[model].isfinite().all():
                raise ValueError(
                    f"model={model}: feature maps are not finite; take an earlier checkpoint, or"
                    " precision=fp32"
                )
            found.append((features[model], masks))
    return found


def _cells(maps: Tensor) -> Tensor:
    """(N, dim, h, w) -> (N * h * w, dim), raster order."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _maps(cells: Tensor, *, like: Tensor) -> Tensor:
    """(N * h * w, classes) -> (N, classes, h, w) of the grid of ``like``."""
    return cells.unflatten(0, (-1, *like.shape[2:])).permute(0, 3, 1, 2)
