"""Define what a pretext task is: it chooses what to show, which places to tell, and what has to
be predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.types import PatchBatch, PatchGrid, Picture, TaskOutput


class PretextTask(nn.Module, ABC):
    """A question about tiles whose answer is known without labels, and the loss that asks it.

    One file, one paper. The constructor takes ``dim`` and ``grid`` from the program and its own
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

    always_blind: bool = False
    """Does it withhold the place of every tile that it shows? (A ViT then learns no place, and
    has none in its export.)"""

    compares: bool = False
    """Does the task compare several views of an image? (``views`` must then give two or more.)"""

    overlap: bool = False
    """Must these views overlap, because the task compares them position by position?"""

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
        """Compute the loss of a batch. ``patches`` holds every cell in raster order, all placed."""

    def at(self, progress: float) -> None:
        """Set schedules for the step to come, at a share ``progress`` (0..1) of the budget.

        Called before each step.
        """

    def preview(self, patches: PatchBatch, encoder: Encoder) -> tuple[Picture, ...]:
        """Draw the task at work on a few images, for figures.

        Called in eval mode, without gradients.
        """
        return ()
