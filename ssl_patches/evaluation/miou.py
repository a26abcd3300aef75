"""Compute the mean intersection over union with bounds over test images.

Counts are kept per image, (N, classes, classes) with truth in rows, because an interval is a
bootstrap over *images*: pixels of one image are no independent draws (Efron 1979; percentile
interval). Per class IoU = hit / (truth + predicted - hit) over all images together, as Pascal VOC
and CamVid score it; the mean is over classes that occur in the truth. It is written here because
libraries keep no counts per image.

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
    """Count pixels by true and predicted class: (N, classes, classes), truth in rows.

    ``predicted`` (N, H, W) in 0..classes-1, ``truth`` (N, H, W) with -1 = unlabelled. ValueError
    where they differ in shape.
    """
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
    """Compute the IoU of each class, (..., classes) in 0..1, from counts (..., classes, classes).

    NaN for classes without a true pixel.
    """
    counts = counts.double()
    hit, true, said = counts.diagonal(dim1=-2, dim2=-1), counts.sum(-1), counts.sum(-2)
    return torch.where(true > 0, hit / (true + said - hit), torch.nan)


def miou(counts: Tensor) -> Tensor:
    """Average the IoU over the classes that occur, (...) in 0..1; NaN where none does.

    ``counts`` (..., classes, classes).
    """
    return iou(counts).nanmean(-1)


def miou_row(counts: Tensor, *, model: str, data: str, metric: str) -> Row:
    """Make the row of the mIoU in percent, with bootstrap bounds, from counts of N images.

    ``counts`` (N, classes, classes).

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
    """Enlarge scores (N, classes, h, w) to ``size`` (H, W) and take the highest class, (N, H, W).

    Bilinear, corners not aligned.
    """
    return F.interpolate(scores.float(), size=size, mode="bilinear", align_corners=False).argmax(1)


def count_matches(scores: Tensor, truth: Tensor) -> Tensor:
    """Count scores (N, classes, h, w) of a coarse grid against masks (N, H, W) of any size.

    Returns (N, classes, classes), truth in rows.
    """
    classes, size = scores.shape[1], (truth.shape[1], truth.shape[2])
    some = max(1, PIXELS // (classes * size[0] * size[1]))
    chunks = zip(scores.split(some), truth.split(some), strict=True)
    return torch.cat(
        [
            confusion(enlarged(score, size), mask.to(score.device), classes=classes).cpu()
            for score, mask in chunks
        ]
    )
