"""Mean intersection over union, with the bounds that the draw of the test images leaves.

Counts are kept per image, (N, classes, classes) with truth in rows, because an interval is a
bootstrap over *images*: pixels of one image are no independent draws (Efron 1979; percentile
interval). Per class IoU = hit / (truth + predicted
- hit) over all images together, as Pascal VOC and CamVid score it; the mean is over classes that
  occur in the truth.

The traps: (a) the mean of per-image mIoUs, which torchmetrics' ``MeanIoU`` gives by default, is
another number; (b) a class that occurs nowhere has no IoU, so it must neither count as 0 nor as 100
%; where it is predicted all the same it costs the classes that are there; (c) unlabelled pixels
(-1) count neither as truth nor as a wrong prediction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_patches.evaluation.metrics import bounds, resamples
from ssl_patches.evaluation.rows import Row

PIXELS = 2**25  # class scores held at a time: 128 MB of float32


def confusion(predicted: Tensor, truth: Tensor, *, classes: int) -> Tensor:
    """``predicted`` (N, H, W) in 0..classes-1, ``truth`` (N, H, W) with -1 = unlabelled -> counts
    (N, classes, classes)."""
    if predicted.shape != truth.shape:
        raise ValueError(
            f"predicted {tuple(predicted.shape)}, truth {tuple(truth.shape)}: must agree; enlarge"
            " predictions first"
        )
    truth = truth.long().flatten(1)
    known = truth >= 0
    image = torch.arange(len(truth), device=truth.device)[:, None]
    code = (image * classes + truth) * classes + predicted.flatten(1)
    return code[known].bincount(minlength=len(truth) * classes**2).view(-1, classes, classes)


def iou(counts: Tensor) -> Tensor:
    """Counts (..., classes, classes) -> IoU per class (..., classes) in 0..1; NaN for classes
    without a true pixel."""
    counts = counts.double()
    hit, true, said = counts.diagonal(dim1=-2, dim2=-1), counts.sum(-1), counts.sum(-2)
    return torch.where(true > 0, hit / (true + said - hit), torch.nan)


def miou(counts: Tensor) -> Tensor:
    """Counts (..., classes, classes) -> mean over the classes that occur, (...) in 0..1; NaN where
    none does."""
    return iou(counts).nanmean(-1)


def miou_row(counts: Tensor, *, model: str, data: str, metric: str) -> Row:
    """Per-image counts (N, classes, classes) -> mIoU in percent with its bootstrap bounds.

    The resamples are those of every other probe, so two models on the same images can be compared
    in pairs. ValueError when no pixel is labelled.
    """
    n, classes = len(counts), counts.shape[-1]
    value = 100 * miou(counts.sum(0)).item()
    if value != value:
        raise ValueError(
            f"data: none of the {n} test masks has a labelled pixel; look at data.void"
        )
    flat = counts.cpu().double().flatten(1)
    drawn = [miou((times.double() @ flat).view(-1, classes, classes)) for times in resamples(n)]
    low, high = bounds(100 * torch.cat(drawn))
    return Row(model=model, data=data, metric=metric, value=value, low=low, high=high, n=n)


def enlarged(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores (N, classes, h, w) -> the class of the highest at each pixel, (N, H, W): bilinear,
    corners not aligned."""
    return F.interpolate(scores.float(), size=size, mode="bilinear", align_corners=False).argmax(1)


def counts_of(scores: Tensor, truth: Tensor) -> Tensor:
    """Scores (N, classes, h, w) of a coarse grid against masks (N, H, W) of any size: counts (N,
    classes, classes)."""
    classes, size = scores.shape[1], (truth.shape[1], truth.shape[2])
    some = max(1, PIXELS // (classes * size[0] * size[1]))
    parts = zip(scores.split(some), truth.split(some), strict=True)
    return torch.cat(
        [
            confusion(enlarged(score, size), mask.to(score.device), classes=classes).cpu()
            for score, mask in parts
        ]
    )
