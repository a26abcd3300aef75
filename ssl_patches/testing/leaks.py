"""Probe for leaks: what a where-task answers on noise above chance, it read elsewhere.

Noise has no places. The task is trained on fresh noise at every step and asked about further noise,
in training mode, where statistics of a batch could carry something from tile to tile, and in eval
mode. What it reads is a leak: of the encoder (slots, boxes of blind tiles), of the sampler
(borders, shading), or of the task itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ssl_patches.encoders import create
from ssl_patches.encoders.build import seeded
from ssl_patches.sampler import PatchSampler
from ssl_patches.testing.pairs import MakeEncoder, MakeTask
from ssl_patches.types import accuracies, chance_name

SIGMAS = 4.5
STEPS, BATCH, TESTS = 100, 64, 30
TINY_VIT = partial(
    create,
    name="vit_tiny_patch16_224",
    patch_size=4,
    options={"depth": 1, "embed_dim": 32, "num_heads": 2},
)
Images = Callable[[int, int], Tensor]
"""From how many and the side in pixels to uint8 (B, 3, S, S)."""


def noise(count: int, size: int) -> Tensor:
    """Draw fresh noise (B, 3, S, S) uint8; ``size``: side in pixels."""
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8)


@dataclass
class Answer:
    """An accuracy of a trained task on fresh noise, beside the chance that the task reports.

    ``accuracy``, ``chance``: shares 0..1. ``sigma``: standard error of their difference, over
    independent batches.
    """

    accuracy: float
    chance: float
    sigma: float

    @property
    def leaks(self) -> bool:
        """Tell whether it is above chance by more than ``SIGMAS`` standard errors."""
        return self.accuracy - self.chance > SIGMAS * self.sigma


@seeded(0)
def leak_probe(
    task: MakeTask,
    *,
    encoder: MakeEncoder = TINY_VIT,
    sampler: Callable[..., PatchSampler] = PatchSampler,
    images: Images = noise,
    image_size: int = 16,
    steps: int = STEPS,
) -> list[Answer]:
    """Train a task on noise and return an answer for each of its accuracies and each mode.

    ``task(dim=..., grid=...)``, ``encoder(image_size=...)`` and ``sampler(image_size=..., unit=...,
    multiple=...)`` are called by keyword: give a class or a ``functools.partial`` of it. Keep all
    of them tiny: a hundred steps have to suffice to learn a leak, and no more noise than that can
    be learned by heart. ValueError when the task reports no accuracy.
    """
    net = encoder(image_size=image_size)
    cutter = sampler(image_size=image_size, unit=net.unit, multiple=net.multiple)
    head = task(dim=net.dim, grid=cutter.grid)
    net.check(cutter.grid, places=head.places)
    modules = (net, cutter, head)
    optimizer = torch.optim.AdamW(
        [*net.parameters(), *head.parameters()], lr=5e-3, weight_decay=0.0
    )
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * min(1, (step + 1) / 10, (steps - step) / 30)
        loss = head(cutter(images(BATCH, image_size)), net).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = []
    for training in (True, False):
        for module in modules:
            module.train(training)
        with torch.no_grad():
            metrics = [head(cutter(images(BATCH, image_size)), net).metrics for _ in range(TESTS)]
        found += [_answer(metrics, metric.name) for metric in accuracies(metrics[0])]
    if not found:
        raise ValueError(
            f"task={type(head).__name__}: reports no accuracy, so it asks for nothing that noise"
            " could not tell"
        )
    return found


def _answer(metrics: list[dict[str, Tensor]], name: str) -> Answer:
    accuracy = torch.stack([each[name] for each in metrics])
    chance = torch.stack([each[chance_name(name)] for each in metrics])
    sigma = (accuracy - chance).std() / TESTS**0.5 + 1e-4
    return Answer(float(accuracy.mean()), float(chance.mean()), float(sigma))
