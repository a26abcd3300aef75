"""Draw a task at work: a column per picture, a row per image, wrong tiles framed red."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.training.figures.page import FRAME, QUIET, Arrow, Column, displayed, save_page
from ssl_patches.types import PatchGrid, Picture

PAPER = 0.93  # grey of a cell where nothing lies


@torch.no_grad()
def draw_task(
    path: Path,
    *,
    images: Tensor,
    views: nn.Module,
    sampler: PatchSampler,
    task: PretextTask,
    encoder: Encoder,
    title: str,
) -> bool:
    """Draw a task at work, and say whether it shows anything.

    ``images`` (N, C, H, W) uint8. All modules are in eval mode meanwhile.
    """
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
    columns = [Column("image", displayed(whole))]
    columns += [column_of(picture, sampler.grid, sampler) for picture in pictures]
    save_page(path, columns, title)
    return True


def column_of(picture: Picture, grid: PatchGrid, sampler: PatchSampler) -> Column:
    """Make a column of a picture, with its arrows."""
    images, pitch = lay_out(picture, grid, sampler), _pitch(picture, grid)
    if picture.arrows is None or picture.right is None:
        return Column(picture.title, images)
    arrows = []
    for cells, directions, right in zip(
        picture.cells.tolist(), picture.arrows.tolist(), picture.right.tolist(), strict=True
    ):
        found = []
        for cell, (dy, dx), good in zip(cells, directions, right, strict=True):
            y, x = ((place + 0.5) * pitch - 0.5 for place in (cell // grid.cols, cell % grid.cols))
            reach = 0.3 * pitch / max(1.0, (dy * dy + dx * dx) ** 0.5)
            if dy or dx:
                found.append(
                    Arrow(
                        (y - reach * dy, x - reach * dx),
                        (y + reach * dy, x + reach * dx),
                        FRAME[good],
                    )
                )
        arrows.append(found)
    return Column(picture.title, images, arrows)


def lay_out(picture: Picture, grid: PatchGrid, sampler: PatchSampler) -> Tensor:
    """Lay tiles at their cells, with a space between unless they belong together.

    ``picture`` of N images -> (N, 3, H, W) in 0..1.
    """
    tiles = displayed(sampler.denormalise(picture.tiles.float()).clamp(0, 1))
    count, _, _, height, width = tiles.shape
    pitch = _pitch(picture, grid)
    space = (pitch - height) // 2
    canvas = torch.full((count, 3, grid.rows * pitch, grid.cols * pitch), PAPER)
    for image in range(count):
        for slot, cell in enumerate(picture.cells[image].tolist()):
            y, x = cell // grid.cols * pitch, cell % grid.cols * pitch
            if picture.right is not None:
                asked = picture.arrows is None or bool(picture.arrows[image, slot].any())
                colour = torch.tensor(FRAME[bool(picture.right[image, slot])] if asked else QUIET)
                canvas[image, :, y : y + pitch, x : x + pitch] = colour[:, None, None]
            canvas[image, :, y + space : y + space + height, x + space : x + space + width] = tiles[
                image, slot
            ]
    return canvas


def _pitch(picture: Picture, grid: PatchGrid) -> int:
    """Side in pixels of a cell of the picture."""
    return grid.tile + 2 * (0 if picture.right is None and grid.dense else max(1, grid.tile // 8))
