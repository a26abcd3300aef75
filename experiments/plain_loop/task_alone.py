"""A task alone: jigsaw with tiles that one cut oneself and a network that is none of ours. All it
calls is ``scrambled``."""

import torch
from torch import nn

from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.types import Encoded, PatchBatch, PatchGrid


class Mine(nn.Module):
    """Each tile by itself."""

    def __init__(self, dim):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, dim, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def scrambled(self, patches):
        tiles = self.body(patches.tiles.flatten(0, 1)).view(*patches.tiles.shape[:2], -1)
        return Encoded(tiles, prefix=tiles[:, :0])


def train(tiles, *, steps, lr=1e-3):
    """``tiles`` (B, 9, 3, h, h) in raster order -> the network, and the loss of each step."""
    count, cells, _, side, _ = tiles.shape
    boxes, placed = torch.zeros(count, cells, 4), torch.ones(count, cells, dtype=torch.bool)
    patches = PatchBatch(tiles, boxes, placed, size=(3 * side, 3 * side), uniform=True)
    network, task = (
        Mine(64),
        Jigsaw(dim=64, grid=PatchGrid(rows=3, cols=3, tile=side), permutations=8, hidden=64),
    )
    optimizer = torch.optim.AdamW([*network.parameters(), *task.parameters()], lr=lr)
    losses = []
    for _ in range(steps):
        loss = task(patches, network).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return network, losses
