"""What a pretext task is: it chooses what to show, which places to tell, and what has to be
predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput


class PretextTask(nn.Module, ABC):
    """One file, one paper. The constructor takes ``dim`` and ``grid`` from the program and its own
    knobs by keyword.

    Parameters of a task are heads and decoders: they are trained with the encoder and never
    exported.

    ValueError where the grid has one cell and the task does not compare views.
    """

    places: bool = False
    """Does the task ask ``encoder.forward`` to use the places of tiles? (A ConvEncoder then needs a
    dense grid.)"""

    apart: bool = False
    """Must tiles not touch, because a line that runs on from one to the next would answer the
    question?"""

    compares: bool = False
    """Does the task compare several views of an image? (``views`` must then give two or more.)"""

    def __init__(self, *, dim: int, grid: PatchGrid) -> None:
        super().__init__()
        if grid.cells < 2 and not self.compares:
            raise ValueError(
                f"sampler.rows={grid.rows}, sampler.cols={grid.cols}: 1 x 1, but this pretext task"
                " needs at least 2 cells; set sampler.rows=3"
            )
        self.dim, self.grid = dim, grid

    @abstractmethod
    def forward(self, patches: PatchBatch, encoder: Encoder) -> TaskOutput:
        """``patches`` holds every cell in raster order, all placed."""

    def at(self, progress: float) -> None:
        """Called before each step with the share of the budget that is used (0..1), for
        schedules."""

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """The task at work on a few images, for figures. Called in eval mode, without gradients."""
        return ()
