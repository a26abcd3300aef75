"""Draw features: the nearest images, the patches as colours, and where a ViT looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_patches.training.figures.page import Column, displayed, framed, save_page

NEIGHBOURS = 5
FAINT = 0.3  # share of the image in a map of attention


def neighbours(
    queries: Tensor, bank: Tensor, *, own: Sequence[int], k: int
) -> tuple[Tensor, Tensor]:
    """Find the nearest of a bank by cosine; ``own[q]`` in the bank is query q itself, and left out.

    ``queries`` (Q, dim), ``bank`` (M, dim) -> cosines (Q, k) and indices (Q, k).
    """
    cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).mT
    cosines[torch.arange(len(queries)), torch.tensor(own)] = -torch.inf
    return cosines.topk(min(k, len(bank) - 1), dim=1)


def draw_neighbours(
    path: Path,
    *,
    images: Tensor,
    features: Tensor,
    labels: Tensor | None,
    queries: Sequence[int],
    title: str,
) -> None:
    """Draw the nearest images of each of ``queries``, by the cosine of their features.

    ``images`` (M, C, H, W) and their ``features`` (M, dim). With ``labels`` (M,) those of the same
    class are framed green, others red; -1 is no label.
    """
    if labels is not None and (labels >= 0).any():
        title = f"{title}; green: same class, red: another"
    cosines, places = neighbours(features[list(queries)], features, own=queries, k=NEIGHBOURS)
    shown = displayed(images)
    columns = [Column("image", framed(shown[list(queries)], [None] * len(queries)))]
    for rank in range(places.shape[1]):
        found = places[:, rank]
        same = [
            _agree(labels, query, place)
            for query, place in zip(queries, found.tolist(), strict=True)
        ]
        notes = [f"cosine {value:.3f}" for value in cosines[:, rank].tolist()]
        columns.append(
            Column(
                "nearest" if rank == 0 else f"{rank + 1}.", framed(shown[found], same), notes=notes
            )
        )
    save_page(path, columns, title)


def _agree(labels: Tensor | None, query: int, place: int) -> bool | None:
    if labels is None or labels.dim() != 1 or min(labels[query], labels[place]) < 0:
        return None
    return bool(labels[query] == labels[place])


def draw_patches(
    path: Path, *, images: Tensor, dense: Tensor, attention: Tensor | None, title: str
) -> None:
    """Draw features of patches as colours, and where a ViT looks.

    ``images`` (N, C, H, W), their feature maps ``dense`` (N, dim, h, w), ``attention`` (N, h, w).
    """
    shown = displayed(images)
    size = shown.shape[-2:]
    rows, cols = dense.shape[-2:]
    colours = F.interpolate(principal_colours(dense.cpu()), size=size, mode="nearest")
    columns = [
        Column("image", shown),
        Column(f"features of {rows} x {cols} patches: like colours, like features", colours),
    ]
    if attention is not None:
        attention = attention.float().cpu()
        most = attention.amax((1, 2)) / attention.mean((1, 2))
        columns.append(
            Column(
                "attention of the last block: yellow is looked at most, black least",
                heat(shown, attention),
                notes=[f"most: {value:.1f} x the average" for value in most.tolist()],
            )
        )
    save_page(path, columns, title)


def principal_colours(dense: Tensor) -> Tensor:
    """Turn features into colours: the three principal components over all patches of all images.

    ``dense`` (N, dim, h, w) -> (N, 3, h, w) in 0..1. Each is stretched from its 2nd to its 98th
    percentile. Its sign, which is free, makes the largest loading positive.
    """
    count, dim, rows, cols = dense.shape
    patches = dense.double().permute(0, 2, 3, 1).reshape(-1, dim)
    patches = patches - patches.mean(0)
    _, directions = torch.linalg.eigh(patches.mT @ patches)
    directions = directions[:, -3:].flip(1)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    values = patches @ (directions * largest.sign())
    low, high = values.quantile(torch.tensor([0.02, 0.98], dtype=values.dtype), dim=0)
    values = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1).float()
    return F.pad(values, (0, 3 - values.shape[1])).reshape(count, rows, cols, 3).permute(0, 3, 1, 2)


def heat(images: Tensor, attention: Tensor) -> Tensor:
    """Colour attention from black to yellow, least to most of each image, over the image in grey.

    ``images`` (N, 3, H, W) in 0..1, ``attention`` (N, h, w) -> (N, 3, H, W) in 0..1.
    """
    from matplotlib import colormaps

    low, high = attention.amin((1, 2), keepdim=True), attention.amax((1, 2), keepdim=True)
    share = F.interpolate(
        ((attention - low) / (high - low).clamp(min=1e-12))[:, None],
        size=images.shape[-2:],
        mode="nearest",
    )
    colours = (
        torch.from_numpy(colormaps["inferno"](share[:, 0].numpy())[..., :3])
        .permute(0, 3, 1, 2)
        .float()
    )
    return FAINT * images.mean(1, keepdim=True) + (1 - FAINT) * colours
