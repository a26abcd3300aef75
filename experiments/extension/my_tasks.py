"""A task of one's own: by how many quarter turns was each tile rotated? (RotNet, Gidaris et al.,
ICLR 2018, on tiles.)

Every tile of an image is turned by 0, 90, 180 or 270 degrees, encoded by itself, and asked for its
turn. Chance is 1/4. Trap: resizing or padding on only some of the turns would give the answer away;
``rot90`` moves pixels and changes none.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_patches.encoders.base import Encoder
from ssl_patches.tasks.base import PretextTask
from ssl_patches.types import PatchBatch, PatchGrid, TaskOutput


class Rotation(PretextTask):
    """``hidden``: width of the head; ``smoothing``: share of the answer that is spread over all
    four turns."""

    def __init__(
        self, *, dim: int, grid: PatchGrid, hidden: int = 256, smoothing: float = 0.0
    ) -> None:
        super().__init__(dim=dim, grid=grid)
        if not 0 <= smoothing < 1:
            raise ValueError(
                f"task.smoothing={smoothing}: a share from 0 to below 1; set task.smoothing=0.1"
            )
        self.smoothing = smoothing
        self.answer = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 4))

    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        turns = torch.randint(4, patches.tiles.shape[:2], device=patches.tiles.device)  # (B, K)
        turned = replace(patches, tiles=rotated(patches.tiles, turns))
        logits = self.answer(encoder.alone(turned).tiles)  # (B, K, 4)
        loss = F.cross_entropy(
            logits.flatten(0, 1), turns.flatten(), label_smoothing=self.smoothing
        )
        accuracy = (logits.detach().argmax(2) == turns).float().mean()
        return TaskOutput(loss, {"accuracy": accuracy, "chance": torch.full_like(accuracy, 1 / 4)})


def rotated(tiles: Tensor, turns: Tensor) -> Tensor:
    """``tiles`` (B, K, C, h, h), each turned counter-clockwise by ``turns`` (B, K) quarters."""
    every = torch.stack(
        [tiles.rot90(quarters, (-2, -1)) for quarters in range(4)], 2
    )  # (B, K, 4, C, h, h)
    index = turns[..., None, None, None, None].expand(-1, -1, 1, *tiles.shape[2:])
    return every.gather(2, index).squeeze(2)
