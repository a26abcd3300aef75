"""Treat the colours of tiles for where-tasks: hide chromatic aberration, by which a lens gives a
tile's place away.

* grey with probability (Noroozi & Favaro 2016; Kolesnikov et al. 2019 use 0.66);
* a shift of each colour channel by 0..n *pixels* (Noroozi's jitter is spatial; a popular port
  jitters intensity by mistake, which does nothing against aberration);
* dropping: keep one random channel, replace the others by faint noise (Doersch et al. 2015);
* projection: remove the green-magenta direction, x - a (a.x)/(a.a) with a = (-1, 2, -1) (Doersch et
  al. 2015).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

DROPPED_NOISE = 0.01  # range of the noise in dropped channels, of a full scale of 1


class Draws(NamedTuple):
    """The draws of a batch, (B, 1, 1, 1, 1) each.

    ``draw``: in 0..1, for the treatment. ``kept``: the channel that dropping keeps; None: nothing
    is dropped.
    """

    draw: Tensor
    kept: Tensor | None

    def of(self, some: slice) -> Draws:
        """Return the draws of some of the images."""
        return Draws(self.draw[some], None if self.kept is None else self.kept[some])


class ColourTreatment(nn.Module):
    """Module that hides chromatic aberration in tiles, by at most one of three treatments.

    So the sum of their probabilities is 1 at most; ValueError where it is more.

    ``grey``: probability of the mean of the channels. Why: chosen where a sampler wants it (0.3 in
    sampler=tiles_3x3).
    ``drop``: probability that one channel stays and the others become faint noise (Doersch et al.
    2015). Why: grey does.
    ``project``: probability that green against magenta is taken out (Doersch et al. 2015). Why:
    grey does.
    ``channel_shift``: largest shift of a channel in pixels, drawn per tile and channel; the sampler
    keeps that room free. Why: 2 in Noroozi & Favaro's code, where tiles have 64 px; in tiles of 8
    px it is much.
    """

    without_green_magenta: Tensor  # (3, 3)

    def __init__(
        self, *, grey: float = 0.0, drop: float = 0.0, project: float = 0.0, channel_shift: int = 0
    ) -> None:
        super().__init__()
        for key, value in (("grey", grey), ("drop", drop), ("project", project)):
            if not 0 <= value <= 1:
                raise ValueError(
                    f"sampler.colour.{key}={value}: a probability from 0 to 1; set"
                    f" sampler.colour.{key}=0.5"
                )
        if grey + drop + project > 1:
            raise ValueError(
                f"sampler.colour: grey={grey} + drop={drop} + project={project} exceed 1, and at"
                " most one applies to an image; set sampler.colour.grey lower"
            )
        if channel_shift < 0:
            raise ValueError(
                f"sampler.colour.channel_shift={channel_shift}: 0 or more pixels; the papers use 2"
            )
        self.grey, self.drop, self.project, self.channel_shift = grey, drop, project, channel_shift
        direction = torch.tensor([-1.0, 2.0, -1.0])
        self.register_buffer(
            "without_green_magenta",
            torch.eye(3) - torch.outer(direction, direction) / 6,
            persistent=False,
        )

    def offsets(self, boxes: Tensor, channels: int) -> Tensor | None:
        """Draw the shift of each channel of each tile, (B, K, C, 2) y, x in pixels.

        ``boxes``: (B, K, 4). None without a shift.
        """
        if not self.channel_shift:
            return None
        shape = (*boxes.shape[:2], channels, 2)
        return torch.randint(self.channel_shift + 1, shape, device=boxes.device)

    def choose(self, count: int, device: torch.device) -> Draws:
        """Draw for ``count`` images which treatment is theirs, (count, 1, 1, 1, 1)."""
        draw = torch.rand(count, 1, 1, 1, 1, device=device)
        kept = torch.randint(3, (count, 1, 1, 1, 1), device=device) if self.drop else None
        return Draws(draw, kept)

    def forward(self, tiles: Tensor) -> Tensor:
        """Treat ``tiles`` (B, K, C, h, w), shares 0..1: all tiles of an image in the same way."""
        tiles = tiles.clone()
        self.treat(tiles, self.choose(len(tiles), tiles.device))
        return tiles

    def treat(self, tiles: Tensor, choice: Draws, *, white: float = 1.0) -> None:
        """Treat ``tiles`` (B, K, C, h, w) in place, as chosen before; values lie in 0..white."""
        if tiles.shape[2] != 3:
            return
        draw = choice.draw
        if self.grey:
            mean = (tiles[:, :, :1] + tiles[:, :, 1:2]).add_(tiles[:, :, 2:]).mul_(1 / 3)
            tiles.lerp_(mean, (draw < self.grey).to(tiles.dtype))  # a weight of 0 or 1 is exact
        if choice.kept is not None:
            chosen = (draw >= self.grey) & (draw < self.grey + self.drop)
            tiles.copy_(
                torch.where(chosen, _dropped(tiles, choice.kept, DROPPED_NOISE * white), tiles)
            )
        if self.project:
            chosen = (draw >= self.grey + self.drop) & (draw < self.grey + self.drop + self.project)
            projected = torch.einsum("dc,bkchw->bkdhw", self.without_green_magenta, tiles)
            tiles.copy_(torch.where(chosen, projected, tiles))


def _dropped(tiles: Tensor, kept: Tensor, spread: float) -> Tensor:
    """Keep the channel ``kept``; the others become the image's mean and noise in a range of
    ``spread``."""
    channel = torch.arange(3, device=tiles.device).view(3, 1, 1)
    noise = tiles.mean((1, 2, 3, 4), keepdim=True) + (torch.rand_like(tiles) - 0.5) * spread
    return torch.where(channel == kept, tiles, noise)
