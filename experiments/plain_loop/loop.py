"""Masked reconstruction in a loop of one's own: views, sampler, task and encoder are plain
modules."""

import torch

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.masked import Masked
from ssl_patches.views import CropFlip


def train(images, *, steps, batch_size=32, lr=1e-3):
    """``images`` (N, 3, S, S) uint8 -> a plain timm model, and the loss of each step."""
    size = images.shape[-1]
    encoder = create(
        name="vit_tiny_patch16_224", image_size=size, patch_size=8, options={"depth": 2}
    )
    views = CropFlip(image_size=size)
    sampler = PatchSampler(image_size=size, unit=encoder.unit, multiple=encoder.multiple)
    task = Masked(dim=encoder.dim, grid=sampler.grid, mask_ratio=0.6, depth=1)
    encoder.check(sampler.grid, places=task.places)  # or say what does not fit
    optimizer = torch.optim.AdamW([*encoder.parameters(), *task.parameters()], lr=lr)
    losses = []
    for step in range(steps):
        batch = images[torch.randint(len(images), (batch_size,))]
        task.at(step / steps)  # schedules
        loss = task(sampler(views(batch)), encoder).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return encoder.export(size), losses
