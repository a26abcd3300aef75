"""Put a task and an encoder together as the program does it, small enough for a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ssl_patches.encoders import Encoder, create
from ssl_patches.encoders.build import seeded
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.base import PretextTask
from ssl_patches.types import PatchBatch, TaskOutput, Views

IMAGES = 8
MakeTask = Callable[..., PretextTask]
"""A class, or any callable, that takes ``dim`` and ``grid`` by keyword."""
MakeEncoder = Callable[..., Encoder]
"""Takes ``image_size`` by keyword; channels are three."""


@dataclass
class Pair:
    """A task and an encoder on a few images (B, 3, S, S) uint8 that are no noise."""

    encoder: Encoder
    sampler: PatchSampler
    task: PretextTask
    images: Tensor

    @property
    def size(self) -> int:
        """Return the side of the images in pixels."""
        return self.images.shape[-1]

    def output(self, seed: int = 0) -> TaskOutput:
        """Run the task once, with torch's generator seeded for it."""
        with seeded(seed):
            return self.task(self.patches(), self.encoder)

    def patches(self) -> PatchBatch:
        """Cut the tiles that the task gets: of two views of each image where it compares."""
        if not self.task.compares:
            return self.sampler(self.images)
        both = torch.stack([self.images, self.images.flip(-1).roll(2, -2)], 1)
        return self.sampler(Views(both.flatten(0, 1), 2, 2))

    def train(self, steps: int) -> list[float]:
        """Train on the same batch and draws at each step, and return the losses."""
        optimizer = torch.optim.AdamW(
            [*self.encoder.parameters(), *self.task.parameters()], lr=1e-3
        )
        losses = []
        for _ in range(steps):
            loss = self.output().loss
            optimizer.zero_grad()
            loss.backward()
            self.encoder.note_training(placed=not self.task.always_blind)
            optimizer.step()
            losses.append(loss.item())
        return losses


@seeded(0)
def put_together(
    task: MakeTask,
    encoder: MakeEncoder,
    *,
    sampler: Mapping[str, Any] | None = None,
    image_size: int = 32,
    images: int = IMAGES,
) -> Pair:
    """Build a task, an encoder and a sampler that fit each other.

    ``sampler``: knobs of PatchSampler; none: tiles that fill the view. ``image_size`` in pixels.
    ValueError where task, tiles and encoder do not fit.
    """
    net = encoder(image_size=image_size)
    cutter = PatchSampler(
        image_size=image_size, unit=net.unit, multiple=net.multiple, **(sampler or {})
    )
    head = task(dim=net.dim, grid=cutter.grid)
    net.check(cutter.grid, places=head.places)
    return Pair(net, cutter, head, pictures(images, image_size))


@seeded(3)
def pictures(count: int, size: int) -> Tensor:
    """Draw smooth gratings (B, 3, S, S) uint8, each of its own direction and colour.

    So every tile is another. ``size``: side in pixels.
    """
    line = torch.linspace(0, 3, size)
    y, x, phase = torch.randn(3, count, 3, 1, 1) * 2
    wave = torch.sin(y * line[:, None] + x * line + phase) + 0.5 * torch.sin(
        line[:, None] ** 2 * x + y
    )
    return ((wave / 3 + 0.5).clamp(0, 1) * 255).to(torch.uint8)


def small_encoders() -> dict[str, MakeEncoder]:
    """Return one encoder of each family: a ViT with class token and registers, and a ResNet."""
    vit = {"depth": 2, "embed_dim": 48, "num_heads": 3, "class_token": True, "reg_tokens": 2}
    return {
        "vit": lambda *, image_size: create(
            name="vit_tiny_patch16_224",
            image_size=image_size,
            patch_size=image_size // 8,
            options=vit,
        ),
        "resnet": lambda *, image_size: create(
            name="resnet10t", image_size=image_size, options={"channels": [16, 24, 32, 40]}
        ),
    }
