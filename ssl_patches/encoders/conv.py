"""Encode tiles with a CNN: blind ones by themselves, placed ones on a canvas where they see each
other.

Idea: a CNN needs no position table, a tile's place is where it lies. Placed tiles are laid on a
zero canvas of the view's size, and what is hidden stays zero through every layer (see ``visible``),
so that a masked task trains what is exported: a network for whole images (SparK, arXiv 2301.03580;
FCMAE, arXiv 2301.00808). One scale, no U-Net. Traps: (a) a tile must hold a whole number of final
positions, or a hidden neighbour shares one with it; at 32 px this asks for ``output_stride=8``,
since 32 leaves one position for the image. (b) BatchNorm statistics of tiles are not those of
images: ``calibrate`` a copy before export. (c) timm starts the last BatchNorm of every residual
block at zero (a ConvNeXt's layer scale at 1e-6), so the layers before it get a gradient of exactly
zero in the first step, and a non-zero one from the second on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.canvas import canvas, positions, whole_view
from ssl_patches.encoders.families import STRIDES, cnn_family, create_cnn
from ssl_patches.encoders.visible import Visibility, attach
from ssl_patches.types import Encoded, Features, PatchBatch, PatchGrid

RESERVED = (
    "in_chans",
    "num_classes",
    "output_stride",
    "global_pool",
    "pretrained",
    "features_only",
    "head_norm_first",
)
# px; the stem of a ResNet halves twice, so that less than this is one position before the first
# block
SMALLEST_TILE = 4


class ConvEncoder(Encoder):
    """A ResNet, ConvNeXt or EfficientNet of timm by name, for any input size and number of
    channels.

    ``output_stride``: pixels per position of the final map, 8, 16 or 32; by default 8 below
    ``image_size`` 64, else 32; of a ConvNeXt 16 below 224. ``options``: further arguments of
    ``timm.create_model``. The same network is ``timm.create_model(encoder.architecture,
    num_classes=0, **encoder.arguments)``: it takes the state dict of ``encoder.model`` as it is.

    ValueError where timm cannot build it, an option is set by the encoder itself, or the stride is
    not offered.
    """

    def __init__(
        self,
        *,
        name: str,
        image_size: int,
        channels: int = 3,
        output_stride: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.family = cnn_family(name)
        stride = self.family.stride(image_size) if output_stride is None else output_stride
        if stride not in STRIDES:
            nearest = min(STRIDES, key=lambda known: abs(known - stride))
            raise ValueError(
                f"encoder.output_stride={stride}: must be 8, 16 or 32 (what timm's CNNs offer); "
                f"set encoder.output_stride={nearest}"
            )
        for key in RESERVED:
            if options and key in options:
                raise ValueError(
                    f"encoder.options.{key}={options[key]}: is set by the encoder itself; remove it"
                )
        self.name = self.architecture = name
        self.unit, self.multiple = stride, 1 if self.family.padded else stride
        self.arguments = {
            "in_chans": channels,
            "output_stride": stride,
            **self.family.arguments(stride),
            **(options or {}),
        }
        # 1.3x to 3x faster on a CPU than channels first, and what tensor cores want
        self.model = create_cnn(name, self.arguments).to(memory_format=torch.channels_last)
        self.dim = self.model.num_features
        if options:  # timm may build what cannot run
            found = self._measured_stride(stride)
            if 0 in self.arguments.get("layers", ()):  # a stage without blocks does not halve
                self.unit = found
                self.multiple = 1 if self.family.padded else found
        self.visibility = Visibility()
        attach(self.model, self.visibility)

    @torch.no_grad()
    def _measured_stride(self, most: int) -> int:
        """Measure the pixels per position of the final map; the network's stride is ``most``.

        ValueError where the network cannot run.
        """
        side, channels = 4 * most, self.arguments["in_chans"]
        try:
            found = self.model.eval().forward_features(torch.zeros(1, channels, side, side))
        except (AttributeError, RuntimeError, IndexError, TypeError) as error:
            raise ValueError(
                f"encoder.options={self.arguments}: {self.name} is built and does not run"
                f" ({error}); give each list as many numbers as it has stages"
            ) from error
        self.model.train()
        return side // found.shape[-1]

    def check(self, grid: PatchGrid, *, places: bool) -> None:
        """Refuse tiles that do not fit the stride of the network with a ValueError."""
        if grid.tile < SMALLEST_TILE:
            raise ValueError(
                f"sampler.tile={grid.tile}: must be at least {SMALLEST_TILE} px (the stem of a"
                f" ResNet divides by 4); set sampler.tile={SMALLEST_TILE}"
            )
        if grid.tile % self.multiple:
            below, above = (
                grid.tile // self.unit * self.unit,
                -(-grid.tile // self.unit) * self.unit,
            )
            smaller = " or a smaller encoder.output_stride" if self.unit > STRIDES[0] else ""
            raise ValueError(
                f"sampler.tile={grid.tile}: must be a multiple of the stride of"
                f" {self.architecture}, {self.unit} px, which would not see what is left over; set"
                f" sampler.tile={below or above},{smaller} or encoder=resnet18"
            )
        if not places:
            return
        if not grid.dense:
            raise ValueError(
                f"sampler.tile={grid.tile}: tiles must touch and start at multiples of the tile,"
                f" because {self.architecture} lays placed tiles on a canvas; set sampler=tokens"
                " (no gap, no jitter), or encoder=vit_tiny"
            )
        if grid.tile % self.unit:
            remedy = f"set sampler.tile={-(-grid.tile // self.unit) * self.unit}"
            for stride in STRIDES:
                if grid.tile % stride == 0:
                    remedy = f"set encoder.output_stride={stride}"
            raise ValueError(
                f"sampler.tile={grid.tile}: must be a multiple of the stride of"
                f" {self.architecture}, {self.unit} px, when tiles are placed; {remedy}"
            )

    def forward(self, patches: PatchBatch) -> Encoded:
        """Encode tiles (B, K, C, h, w) -> (B, K, dim): placed ones see each other on a canvas,
        blind ones see themselves only.
        """
        if patches.uniform is False:
            return self.alone(patches)
        if patches.complete and patches.tiles.shape[-1] == self.unit:  # nothing is hidden
            whole = self.model.forward_features(whole_view(patches))
            return self._encoded(whole.flatten(2).transpose(1, 2))
        together = self._together(patches)
        if patches.uniform is None:
            together = torch.where(patches.placed[..., None], together, self.alone(patches).tiles)
        return self._encoded(together)

    def alone(self, patches: PatchBatch) -> Encoded:
        """Encode every tile by itself: (B, K, C, h, w) tiles -> (B, K, dim) features."""
        tiles = patches.tiles.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        final = self.model.forward_features(tiles)
        return self._encoded(final.mean((2, 3)).unflatten(0, patches.tiles.shape[:2]))

    def pooled(self, patches: PatchBatch) -> Tensor:
        """Encode each view as one feature (B, dim); a complete view goes through the network as
        images do, without masks.
        """
        if not patches.complete:
            return super().pooled(patches)
        return self.model.forward_features(whole_view(patches)).mean((2, 3))

    def subsets(self, patches: PatchBatch, cells: Tensor) -> Tensor:
        """Encode subsets of the tiles of each view, each tile by itself: cells (B, S, M) -> (B, S,
        dim).
        """
        each = self.alone(patches.select(cells.flatten(1))).tiles
        return each.unflatten(1, cells.shape[1:]).mean(2)

    def scrambled(self, patches: PatchBatch) -> Encoded:
        """Encode every tile by itself, since a CNN cannot place tiles freely: (B, K, dim)."""
        return self.alone(patches)

    def _together(self, patches: PatchBatch) -> Tensor:
        # it would recompute the layers in backward, when the mask is gone
        if any(vars(part).get("grad_checkpointing") for part in self.model.modules()):
            raise ValueError(
                "encoder: gradient checkpointing cannot be used with placed tiles; switch it off"
            )
        cells = positions(patches, self.unit)
        visible = (cells & patches.placed[..., None, None]).any(1, keepdim=True)
        with self.visibility.only(visible):
            final = self.model.forward_features(canvas(patches, self.unit))  # (B, dim, rows, cols)
        weight = cells.flatten(2).to(final.dtype)
        return weight @ final.flatten(2).transpose(1, 2) / weight.sum(-1, keepdim=True).clamp(min=1)

    def _encoded(self, tiles: Tensor) -> Encoded:
        return Encoded(tiles=tiles, prefix=tiles.new_zeros(len(tiles), 0, self.dim))

    def features(self, images: Tensor, layers: tuple[int, ...] = (-1,)) -> tuple[Features, ...]:
        """Return features of whole images (B, C, H, W), one record per layer: pooled (B, dim),
        dense (B, dim, h, w).

        ``layers``: stages 0..3, or -4..-1 from the last, which is the map that the exported model
        pools. ValueError for another layer.
        """
        for layer in layers:
            if not -4 <= layer <= 3:
                raise ValueError(
                    f"layers={layer}: {self.architecture} has the stages 0..3; set a layer from -4"
                    " to 3"
                )
        stages = [layer % 4 for layer in layers]
        early = sorted(set(stages) - {3})
        if early:
            final, maps = self.model.forward_intermediates(
                images, indices=[stage + self.family.stages for stage in early]
            )
        else:
            final, maps = self.model.forward_features(images), []
        dense = dict(zip([*early, 3], [*maps, final], strict=True))
        return tuple(
            Features(
                pooled=dense[stage].mean((2, 3)),
                dense=dense[stage],
                prefix=images.new_zeros(len(images), 0, dense[stage].shape[1]),
            )
            for stage in stages
        )

    @property
    def norms(self) -> list[nn.BatchNorm2d]:
        """Return the BatchNorms of the network."""
        return [module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> ConvEncoder:
        """Set the mode of every part; BatchNorm whose statistics are fixed stays in eval mode."""
        super().train(mode)
        if self.fixed_statistics:
            for norm in self.norms:
                norm.eval()
        return self

    @torch.no_grad()
    def calibrate(self, images: Iterable[Tensor]) -> None:
        """Measure the statistics of BatchNorm anew on whole images, batches of (B, C, H, W).

        Every batch counts the same ("precise BatchNorm", Wu & Johnson, arXiv 2105.07576). Does
        nothing where they are fixed. ValueError when there are no images.
        """
        if self.fixed_statistics:
            return
        norms = self.norms
        before = [(module, module.training) for module in self.modules()]
        momentum = [norm.momentum for norm in norms]
        self.eval()  # no stochastic depth
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None
        batches = 0
        try:
            for batch in images:
                self.model.forward_features(batch)
                batches += 1
        finally:
            for norm, value in zip(norms, momentum, strict=True):
                norm.momentum = value
            for module, training in before:
                module.training = training
        if not batches:
            raise ValueError(
                "calibrate: got no images, and the statistics are reset; pass at least one batch"
            )

    def export(self, image_size: int) -> nn.Module:
        """Copy the network as a plain timm model in eval mode. ``image_size`` changes nothing: a
        CNN takes any size.
        """
        model = create_cnn(self.architecture, self.arguments)
        model.load_state_dict(self.model.state_dict(), strict=True)
        return model.eval()
