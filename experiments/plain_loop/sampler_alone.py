"""The sampler alone: its tiles for a network and a loss of one's own, here which of two tiles lies
further to the left."""

import torch
from torch import nn
from torch.nn import functional as F

from ssl_patches.sampler import ColourTreatment, PatchSampler


def train(images, *, steps, lr=1e-3):
    """``images`` (N, 3, S, S) uint8 -> the network, and the loss of each step."""
    sampler = PatchSampler(
        image_size=images.shape[-1], rows=1, cols=2, gap=4, colour=ColourTreatment(grey=0.5)
    )
    network = nn.Sequential(
        nn.Conv2d(3, 32, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        patches = sampler(images)  # tiles (B, 2, 3, h, w), boxes (B, 2, 4) as y, x, h, w
        order = torch.rand(patches.tiles.shape[:2]).argsort(1)
        patches = patches.select(order)
        left = (patches.boxes[:, 0, 1] < patches.boxes[:, 1, 1]).float()
        scores = network(patches.tiles.flatten(0, 1)).view(-1, 2)
        loss = F.binary_cross_entropy_with_logits(scores[:, 0] - scores[:, 1], left)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses
