"""Figures of a task at work: its pictures, one column each, one row per image; wrong tiles framed red, right ones green."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.types import PatchGrid, Picture

FRAME = {True: (0.11, 0.62, 0.35), False: (0.85, 0.16, 0.12)}
PAPER = 0.93  # grey of a cell where nothing lies


@torch.no_grad()
def draw_task(
    path: Path, *, images: Tensor, views: nn.Module, sampler: PatchSampler, task: PretextTask, encoder: Encoder, title: str
) -> bool:
    """Writes the figure of ``task`` on ``images`` (N, C, H, W) uint8 to ``path``; False when the task shows nothing."""
    modules = (views, sampler, task, encoder)
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    whole = views(images)
    pictures = task.preview(sampler(whole), encoder)
    for module, mode in zip(modules, modes, strict=True):
        module.train(mode)
    if not pictures:
        return False
    columns = [("image", _displayed(whole))]
    columns += [(picture.title, lay_out(picture, sampler.grid, sampler)) for picture in pictures]
    _save(path, columns, title)
    return True


def lay_out(picture: Picture, grid: PatchGrid, sampler: PatchSampler) -> Tensor:
    """(N, 3, H, W) in 0..1: the tiles at their cells, with a space between unless tiles belong together."""
    tiles = _displayed(sampler.denormalise(picture.tiles.float()).clamp(0, 1))
    count, _, _, height, width = tiles.shape
    space = 0 if picture.right is None and grid.dense else max(1, grid.tile // 8)
    pitch = (height + 2 * space, width + 2 * space)
    canvas = torch.full((count, 3, grid.rows * pitch[0], grid.cols * pitch[1]), PAPER)
    for image in range(count):
        for slot, cell in enumerate(picture.cells[image].tolist()):
            y, x = cell // grid.cols * pitch[0], cell % grid.cols * pitch[1]
            if picture.right is not None:
                colour = torch.tensor(FRAME[bool(picture.right[image, slot])])
                canvas[image, :, y : y + pitch[0], x : x + pitch[1]] = colour[:, None, None]
            canvas[image, :, y + space : y + space + height, x + space : x + space + width] = tiles[image, slot]
    return canvas


def _displayed(images: Tensor) -> Tensor:
    """(..., C, H, W) -> (..., 3, H, W) float in 0..1 on the CPU; one channel is repeated, more than three are cut."""
    images = images.cpu()
    images = images.float().div(255) if images.dtype == torch.uint8 else images.float()
    channels = images.shape[-3]
    return images.expand(*images.shape[:-3], 3, *images.shape[-2:]) if channels == 1 else images[..., :3, :, :]


def _save(path: Path, columns: Sequence[tuple[str, Tensor]], title: str) -> None:
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    rows = len(columns[0][1])
    figure = Figure(figsize=(2.2 * len(columns), 2.2 * rows + 0.7), dpi=110, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (name, images) in enumerate(columns):
        for row in range(rows):
            axes[row][column].imshow(images[row].permute(1, 2, 0).numpy(), interpolation="nearest")
            axes[row][column].set_axis_off()
        axes[0][column].set_title(name, fontsize=9)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
