"""One encoder at several input sizes: the number of its tokens, what it costs, and how fast it is.

FLOPs of the forward pass by torch's counter; speed in images per second of *CPU time*, which other
work on the machine does not move as it moves the clock on the wall (on a GPU: of wall time, after
waiting for the device).

The trap: a ViT's position table belongs to one size. timm's ``set_input_size`` resamples it on a
copy.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def at_size(model: nn.Module, side: int) -> nn.Module:
    """A copy of a timm model that takes images of ``side`` px."""
    twin = copy.deepcopy(model)
    if hasattr(twin, "set_input_size"):
        twin.set_input_size(img_size=(side, side))
    return twin


def usable_sizes(model: nn.Module, image_size: int, factors: Sequence[float]) -> list[int]:
    """The sizes nearest to ``factors`` of ``image_size`` that the model can take, increasing: whole
    patches, 2 or more.

    A network without patches takes multiples of 8 px from 32 on.
    """
    embed = getattr(model, "patch_embed", None)
    unit, least = (
        (embed.patch_size[0], 2 * embed.patch_size[0]) if hasattr(embed, "patch_size") else (8, 32)
    )
    return sorted(
        {max(least, round(factor * image_size / unit) * unit) for factor in factors} | {image_size}
    )


@torch.inference_mode()
def tokens(model: nn.Module, images: Tensor) -> int:
    """Positions of the last feature map for images of that size."""
    (found,) = model.forward_intermediates(
        images[:1], indices=[-1], norm=True, intermediates_only=True
    )
    return found.shape[2] * found.shape[3]


@torch.inference_mode()
def forward_flops(model: nn.Module, images: Tensor) -> float:
    """FLOPs per image of a forward pass."""
    with FlopCounterMode(display=False) as counter:
        model(images)
    return counter.get_total_flops() / len(images)


@torch.inference_mode()
def speed(model: nn.Module, images: Tensor, *, repeats: int = 5) -> Tensor:
    """Images per second of CPU time in each of ``repeats`` passes, (repeats,), after one that is
    not counted."""
    gpu = images.is_cuda
    clock = time.perf_counter if gpu else time.process_time
    found = []
    for _ in range(repeats + 1):
        start = clock()
        model(images)
        if gpu:
            torch.cuda.synchronize(images.device)
        found.append(len(images) / max(clock() - start, 1e-9))
    return torch.tensor(found[1:])
