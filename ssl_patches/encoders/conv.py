"""A ResNet that encodes tiles: blind ones by themselves, placed ones laid on a canvas where they see each other.

Idea: a CNN needs no position table, a tile's place is where it lies. Placed tiles are laid on a zero canvas of the
view's size, and what is hidden stays zero through every layer (see ``visible``), so that a masked task trains what is
exported: a network for whole images (SparK, arXiv 2301.03580; FCMAE, arXiv 2301.00808). One scale, no U-Net.
Traps: (a) a tile must hold a whole number of final positions, or a hidden neighbour shares one with it; at 32 px this
asks for ``output_stride=8``, since 32 leaves one position for the image. (b) BatchNorm statistics of tiles are not
those of images: ``calibrate`` a copy before export. (c) timm starts the last BatchNorm of every residual block at
zero, so the layers before it get a gradient of exactly zero in the first step, and a non-zero one from the second on.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import timm
import torch
from timm.models import ResNet, model_entrypoint
from torch import Tensor, nn

from ssl_patches.encoders.base import Encoder
from ssl_patches.encoders.visible import Visibility, attach, unmaskable
from ssl_patches.types import Encoded, Features, PatchBatch, PatchGrid

STRIDES = (8, 16, 32)
RESERVED = ("in_chans", "num_classes", "output_stride", "global_pool", "pretrained", "features_only")
SMALLEST_TILE = 4  # px; the stem halves twice, so that less than this is one position before the first block


def create_resnet(name: str, options: dict[str, Any]) -> ResNet:
    """A timm ResNet with random weights. ValueError when the name or the options are not those of one we can mask."""
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3) or ["resnet18", "resnet50"]
        raise ValueError(f"encoder.name={name}: timm has no such model; set encoder.name={' or '.join(near)}")
    remedy = "set encoder.name=resnet18, resnet34, resnet50, seresnet50, resnext50_32x4d or wide_resnet50_2"
    if model_entrypoint(name).__module__ != ResNet.__module__:
        raise ValueError(f"encoder.name={name}: must be a plain timm ResNet to be a ConvEncoder; {remedy}")
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, **options)
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise ValueError(f"encoder.options={options}: {name} does not take them ({error}); remove it") from error
    if (found := unmaskable(model)) is not None:
        rule = "only Conv2d, BatchNorm2d, ReLU, pooling and SE layers keep hidden tiles hidden"
        raise ValueError(f"encoder.name={name}: has {found}, but {rule}; {remedy}")
    return model


def canvas(patches: PatchBatch, unit: int) -> Tensor:
    """The placed tiles at their boxes -> (B, C, H, W), zero elsewhere. H, W: the view's, rounded up to ``unit``."""
    images, _, channels, h, w = patches.tiles.shape
    height, width = (-(-side // unit) * unit for side in patches.size)
    y, x = patches.boxes[..., :2].round().long().unbind(-1)  # (B, K)
    rows = y[..., None] + torch.arange(h, device=y.device)
    cols = x[..., None] + torch.arange(w, device=x.device)
    pixel = rows[..., :, None] * width + cols[..., None, :]  # (B, K, h, w)
    pixel = torch.where(patches.placed[..., None, None], pixel, height * width)  # blind tiles fall off the end
    index = pixel.reshape(images, 1, -1).expand(-1, channels, -1)
    flat = patches.tiles.new_zeros(images, channels, height * width + 1)
    flat = flat.scatter(2, index, patches.tiles.transpose(1, 2).reshape(images, channels, -1))
    return flat[..., :-1].reshape(images, channels, height, width)


def positions(patches: PatchBatch, unit: int) -> Tensor:
    """(B, K, rows, cols) bool: the positions of the final map, ``unit`` pixels apart, that each tile's box covers."""
    start, extent = patches.boxes.round().chunk(2, -1)  # (B, K, 2) each
    inside = []
    for axis, side in enumerate(patches.size):
        at = torch.arange(-(-side // unit), device=start.device) * unit
        first = start[..., axis, None]
        inside.append((at >= first) & (at < first + extent[..., axis, None]))
    return inside[0][..., :, None] & inside[1][..., None, :]


class ConvEncoder(Encoder):
    """A timm ResNet by name (``resnet18``, ``seresnet50``, ...), for any input size and number of channels.

    ``output_stride``: pixels per position of the final map, 8, 16 or 32; by default 8 below ``image_size`` 64, else 32.
    ``options``: further arguments of ``timm.create_model``. The same network is
    ``timm.create_model(encoder.architecture, num_classes=0, **encoder.arguments)``: it takes the state dict of
    ``encoder.model`` as it is.
    """

    multiple = 1

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
        stride = (8 if image_size < 64 else 32) if output_stride is None else output_stride
        if stride not in STRIDES:
            nearest = min(STRIDES, key=lambda known: abs(known - stride))
            raise ValueError(
                f"encoder.output_stride={stride}: must be 8, 16 or 32 (what timm's ResNets offer); "
                f"set encoder.output_stride={nearest}"
            )
        for key in RESERVED:
            if key in (options or {}):
                raise ValueError(f"encoder.options.{key}={options[key]}: is set by the encoder itself; remove it")
        self.name = self.architecture = name
        self.unit = stride
        self.arguments = {"in_chans": channels, "output_stride": stride, **(options or {})}
        # 1.3x to 3x faster on a CPU than channels first, and what tensor cores want
        self.model = create_resnet(name, self.arguments).to(memory_format=torch.channels_last)
        self.dim = self.model.num_features
        self.visibility = Visibility()
        attach(self.model, self.visibility)

    def check(self, grid: PatchGrid, *, places: bool) -> None:
        if grid.tile < SMALLEST_TILE:
            raise ValueError(
                f"sampler.tile={grid.tile}: must be at least {SMALLEST_TILE} px (the stem of a ResNet divides by 4); "
                f"set sampler.tile={SMALLEST_TILE}"
            )
        if not places:
            return
        if not grid.dense:
            raise ValueError(
                f"sampler.tile={grid.tile}: tiles must touch and start at multiples of the tile, because {self.architecture} "
                "lays placed tiles on a canvas; set sampler=tokens (no gap, no jitter), or encoder=vit_tiny"
            )
        if grid.tile % self.unit:
            remedy = f"set sampler.tile={-(-grid.tile // self.unit) * self.unit}"
            for stride in STRIDES:
                if grid.tile % stride == 0:
                    remedy = f"set encoder.output_stride={stride}"
            raise ValueError(
                f"sampler.tile={grid.tile}: must be a multiple of the stride of {self.architecture}, {self.unit} px, "
                f"when tiles are placed; {remedy}"
            )

    def forward(self, patches: PatchBatch) -> Encoded:
        """Placed tiles see each other on a canvas, blind ones see themselves only."""
        if patches.uniform is False:
            return self.alone(patches)
        together = self._together(patches)
        if patches.uniform is None:
            together = torch.where(patches.placed[..., None], together, self.alone(patches).tiles)
        return self._encoded(together)

    def alone(self, patches: PatchBatch) -> Encoded:
        tiles = patches.tiles.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        final = self.model.forward_features(tiles)
        return self._encoded(final.mean((2, 3)).unflatten(0, patches.tiles.shape[:2]))

    def scrambled(self, patches: PatchBatch) -> Encoded:
        return self.alone(patches)

    def _together(self, patches: PatchBatch) -> Tensor:
        if self.model.grad_checkpointing:  # it would recompute the layers in backward, when the mask is gone
            raise ValueError("encoder: gradient checkpointing cannot be used with placed tiles; switch it off")
        cells = positions(patches, self.unit)
        visible = (cells & patches.placed[..., None, None]).any(1, keepdim=True)
        with self.visibility.only(visible):
            final = self.model.forward_features(canvas(patches, self.unit))  # (B, dim, rows, cols)
        weight = cells.flatten(2).to(final.dtype)
        return weight @ final.flatten(2).transpose(1, 2) / weight.sum(-1, keepdim=True).clamp(min=1)

    def _encoded(self, tiles: Tensor) -> Encoded:
        return Encoded(tiles=tiles, prefix=tiles.new_zeros(len(tiles), 0, self.dim))

    def features(self, images: Tensor, layers: tuple[int, ...] = (-1,)) -> tuple[Features, ...]:
        """``layers``: stages 0..3, or -4..-1 from the last."""
        for layer in layers:
            if not -4 <= layer <= 3:
                raise ValueError(f"layers={layer}: a ResNet has the stages 0..3; set a layer from -4 to 3")
        stages = [layer % 4 for layer in layers]
        taken = sorted(set(stages))
        # timm counts the stem as 0
        maps = self.model.forward_intermediates(images, indices=[s + 1 for s in taken], intermediates_only=True)
        dense = dict(zip(taken, maps, strict=True))
        return tuple(
            Features(
                pooled=dense[stage].mean((2, 3)),
                dense=dense[stage],
                prefix=images.new_zeros(len(images), 0, dense[stage].shape[1]),
            )
            for stage in stages
        )

    @torch.no_grad()
    def calibrate(self, images: Iterable[Tensor]) -> None:
        """Every batch counts the same ("precise BatchNorm", Wu & Johnson, arXiv 2105.07576)."""
        norms = [module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d)]
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
            raise ValueError("calibrate: got no images, and the statistics are reset; pass at least one batch")

    def export(self, image_size: int) -> nn.Module:
        """``image_size`` changes nothing: a ResNet takes any size."""
        model = create_resnet(self.architecture, self.arguments)
        model.load_state_dict(self.model.state_dict(), strict=True)
        return model.eval()
