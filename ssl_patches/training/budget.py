"""Set how long a run trains: a number of images, epochs, FLOPs or seconds.

A comparison is fair only at a stated budget, so every run counts all of them and stretches its
schedule to the one that is set. FLOPs are all that is executed, forward and backward, heads and
decoders included (and the products by which ``resample`` crops small images), counted once by torch
on a step of the real model. Seconds are those spent training, added up over resumes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ssl_patches.training.attention_flops import ATTENTION
from ssl_patches.training.conv_flops import CONVOLUTION

DEFAULT_EPOCHS = 20.0
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Budget:
    """Length of a run: at most one is set, 20 epochs otherwise.

    ``images`` are counted with repetition; an epoch is one pass over all. ValueError where more
    than one is set, or one is not above 0.
    """

    images: float | None = None
    epochs: float | None = None
    flops: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = {key: value for key, value in vars(self).items() if value is not None}
        if not given:
            object.__setattr__(self, "epochs", DEFAULT_EPOCHS)
            return
        if len(given) > 1:
            said = ", ".join(f"budget.{key}={value:g}" for key, value in given.items())
            raise ValueError(f"{said}: only one can be set; take the others out")
        key, value = next(iter(given.items()))
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"budget.{key}={value}: must be more than 0; set budget.images=100000")

    def steps(self, *, dataset: int, batch_size: int, flops_per_image: float) -> int | None:
        """Count the steps that use the budget up, rounded up; None when time decides.

        ``dataset``: images in an epoch. ``batch_size``: images per step.
        """
        images = {"images": self.images, "epochs": self.epochs and self.epochs * dataset}
        images["flops"] = self.flops and self.flops / flops_per_image
        wanted = next((value for value in images.values() if value is not None), None)
        return None if wanted is None else max(1, math.ceil(wanted / batch_size))


def flop_counter() -> FlopCounterMode:
    """Make torch's counter of FLOPs, which counts the same with every version that we admit."""
    return FlopCounterMode(display=False, custom_mapping=ATTENTION | CONVOLUTION)


def count_flops(module: M, step: Callable[[M, Tensor], Tensor], images: Tensor) -> float:
    """Count the FLOPs per image of a training step, forward and backward, by torch's counter.

    ``images`` (B, C, H, W) uint8; ``step(module, images)`` returns the loss. On a deep copy and
    with the random state put back: the run that follows does not notice.
    """
    copied = copy.deepcopy(module).train()
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), flop_counter() as counter:
        step(copied, images).backward()
    return counter.get_total_flops() / len(images)


def count_update_flops(module: M, optimizer_of: Callable[[M], Any]) -> float:
    """Count the FLOPs of one step of the optimiser by torch's counter, on a deep copy.

    ``optimizer_of`` makes the optimiser of the copy. Zero for those that compute no products.
    """
    copied = copy.deepcopy(module)
    for parameter in copied.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizer = optimizer_of(copied)
    with flop_counter() as counter:
        optimizer.step()
    return counter.get_total_flops()
