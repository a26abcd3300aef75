"""Define what an encoder is: it knows pixels and no task, and holds the timm module that is
exported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ssl_patches.types import Encoded, Features, PatchBatch, PatchGrid


class Encoder(nn.Module, ABC):
    """A network that turns tiles into one feature each, and whole images into those of its export.

    Attributes: ``dim`` (width of a feature), ``unit`` (side in pixels of what the network sees as
    one position of a whole image: the token of a ViT, the stride of a CNN), ``multiple`` (a tile's
    side must be a multiple of it), ``model`` (the held timm module), ``loaded`` (what pretrained
    weights it began with, in words; None: random ones).
    """

    dim: int
    unit: int
    multiple: int
    model: Any  # a timm module: its attributes differ by family
    loaded: str | None = None
    arguments: dict[str, Any]
    architecture: str

    @abstractmethod
    def check(self, grid: PatchGrid, *, places: bool) -> None:
        """Refuse tiles that do not fit this encoder with a ValueError.

        ``places``: the task tells places.
        """

    @abstractmethod
    def forward(self, patches: PatchBatch) -> Encoded:
        """Encode tiles that see each other as far as the family allows: one feature for each."""

    @abstractmethod
    def alone(self, patches: PatchBatch) -> Encoded:
        """Encode every tile by itself (siamese): K is folded into the batch.

        ``prefix`` is empty.
        """

    @abstractmethod
    def scrambled(self, patches: PatchBatch) -> Encoded:
        """Encode tiles that see each other at shuffled places.

        A family that cannot place freely takes each alone.
        """

    fixed_statistics = False
    """Whether BatchNorm keeps the statistics that the weights came with."""

    def note_training(self, *, placed: bool) -> None:
        """Note what a training step has shown; who trains calls it before each change of weights.

        ``placed``: tiles with their places; otherwise blind ones only. Of use to encoders whose
        export depends on it, as that of a ViT with a table of places.
        """

    def keep_table(self) -> None:
        """Take over the position table of weights that were just loaded, where there is one."""

    def pooled(self, patches: PatchBatch) -> Tensor:
        """Encode each view as one feature: the mean over its tiles, (B, K) tiles -> (B, dim)."""
        return self(patches).tiles.mean(1)

    def subsets(self, patches: PatchBatch, cells: Tensor) -> Tensor:
        """Encode subsets of the tiles of each view, each without knowing the others.

        ``cells`` (B, S, M) int64: S subsets of M tiles -> (B, S, dim), the mean over each subset.
        """
        count, chosen = cells.shape[1:]
        few = patches.select(cells.flatten(1))
        each = replace(
            few,
            tiles=few.tiles.unflatten(1, (count, chosen)).flatten(0, 1),
            boxes=few.boxes.unflatten(1, (count, chosen)).flatten(0, 1),
            placed=few.placed.unflatten(1, (count, chosen)).flatten(0, 1),
        )
        return self.pooled(each).unflatten(0, (-1, count))

    @abstractmethod
    def features(self, images: Tensor, layers: tuple[int, ...] = (-1,)) -> tuple[Features, ...]:
        """Compute features of whole images (B, C, H, W), normalised, as the exported model does.

        One record per layer, by the held timm module's own forward.
        """

    @abstractmethod
    def calibrate(self, images: Iterable[Tensor]) -> None:
        """Set normalisation statistics for whole images from batches (B, C, H, W) normalised. Do it
        on a copy."""

    @abstractmethod
    def export(self, image_size: int) -> nn.Module:
        """Copy the weights into a plain timm model in eval mode that pools by the mean."""
