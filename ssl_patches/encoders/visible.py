"""Make a dense CNN behave like a sparse one: what is hidden stays zero through every layer.

Idea (SparK, Tian et al., arXiv 2301.03580; FCMAE, Woo et al., arXiv 2301.00808): a canvas with
holes is convolved densely, and the output of every layer is multiplied by the mask of what is
visible, scaled to its size. That is numerically the same as a sparse convolution, and needs no
other library than the one that is exported. Trap: zeros are values. Left in, they would enter the
statistics of every BatchNorm, and the mean that a squeeze-and-excitation takes, so that the network
learns to expect images with holes. Both count visible positions only. (The global response norm of
ConvNeXt V2 sums squares and divides by their mean over channels: zeros change nothing.)

The mask reaches the layers through one ``Visibility`` that they share; without a mask all of this
does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from timm.layers import (
    GELU,
    BatchNormAct2d,
    DropBlock2d,
    DropPath,
    LayerNorm,
    LayerNorm2d,
    SEModule,
)
from timm.layers.grn import GlobalResponseNorm
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

from ssl_patches.encoders.lone_position import avoid_lone_positions

SPATIAL = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, LayerNorm2d)
"""Layers of maps (B, C, h, w) whose output may be other than zero where the input is zero."""
CHANNELS_LAST = (nn.Linear, LayerNorm)
"""The same for maps (B, h, w, C). A GlobalResponseNorm is of either."""
SQUEEZE_OF_EFFICIENTNET = ("conv_reduce", "act1", "conv_expand", "gate")
"""The layers of an EfficientNet's squeeze-and-excitation, whose class timm keeps to itself."""
ZERO_KEEPING = (
    nn.ReLU,
    nn.ReLU6,
    nn.GELU,
    GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Identity,
    nn.Dropout,
    DropPath,
    DropBlock2d,
)
HEAD = (nn.AdaptiveAvgPool2d, nn.Flatten)


class Visibility:
    """The positions of maps that are visible in a forward pass; shared by the layers of a model."""

    def __init__(self) -> None:
        self.cells: Tensor | None = (
            None  # (B, 1, rows, cols) bool, at the total stride of the model
        )
        self.levels: dict[tuple[int, int, torch.dtype], Tensor] = {}

    @contextmanager
    def only(self, cells: Tensor) -> Iterator[None]:
        """Let the layers see no more than ``cells`` (B, 1, rows, cols) bool, for the block.

        Cells are at the total stride of the model.
        """
        self.cells = cells
        try:
            yield
        finally:
            self.cells, self.levels = None, {}

    def level(self, x: Tensor) -> Tensor | None:
        """Return the mask (B, 1, h, w) for a map ``x`` (B, C, h, w); None: no mask.

        The size of the map is a multiple of that of the cells.
        """
        if self.cells is None:
            return None
        key = (*x.shape[-2:], x.dtype)
        if key not in self.levels:
            mask = self.cells
            for dim in (-2, -1):
                mask = mask.repeat_interleave(x.shape[dim] // mask.shape[dim], dim)
            self.levels[key] = mask.to(x.dtype)
        return self.levels[key]

    def hide(self, _: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        """Set a map (B, C, h, w) to zero where it is hidden: a forward hook of a layer."""
        mask = self.level(out)
        return out if mask is None else out * mask

    def hide_last(self, _: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        """Set a map (B, h, w, C) to zero where it is hidden: a forward hook of a layer."""
        mask = self.level(out.permute(0, 3, 1, 2)) if self.cells is not None else None
        return out if mask is None else out * mask.permute(0, 2, 3, 1)

    def squeeze(self, _: nn.Module, pooled: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Make a mean (B, C, 1, 1) over all positions that over visible ones: a forward pre-hook.

        It belongs to the layer behind a global mean.
        """
        if self.cells is None:
            return pooled
        share = self.cells.float().mean((2, 3), keepdim=True)
        return (pooled[0] / share.clamp(min=1 / self.cells[0].numel()).to(pooled[0].dtype),)


class VisibleBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d that, under a mask, takes its batch statistics and running statistics from
    visible positions only.

    Same parameters, buffers and keys as ``plain``, whose values it takes over, and the activation
    that timm's BatchNormAct2d has inside. Expects a map that is zero where hidden; its own output
    there is left to ``Visibility.hide``. ``SyncBatchNorm`` conversion would undo it.
    """

    def __init__(self, plain: nn.BatchNorm2d, visibility: Visibility) -> None:
        super().__init__(plain.num_features, eps=plain.eps, momentum=plain.momentum)
        self.load_state_dict(plain.state_dict())
        self.visibility = visibility
        self.then = (
            nn.Sequential(plain.drop, plain.act)
            if isinstance(plain, BatchNormAct2d)
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a map (B, C, h, w) by the statistics of visible positions."""
        return self.then(self._normalise(x))

    def _normalise(self, x: Tensor) -> Tensor:
        mask = self.visibility.level(x)
        if mask is None or not self.training:
            return super().forward(x)
        values, mask = x.float(), mask.float()
        count = mask.sum().clamp(min=1)
        mean = values.sum((0, 2, 3)) / count
        centred = (values - mean[:, None, None]) * mask
        variance = centred.square().sum((0, 2, 3)) / count
        self._track(mean.detach(), variance.detach(), count)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(x.dtype)

    def statistics(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the buffers (): batches counted; (C,): running mean and variance."""
        found = self.num_batches_tracked, self.running_mean, self.running_var
        assert all(each is not None for each in found), "a BatchNorm that tracks nothing"
        return cast(tuple[Tensor, Tensor, Tensor], found)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Track the running statistics as torch does.

        The running variance is the unbiased one; momentum None means a cumulative average.
        """
        counted, running_mean, running_var = self.statistics()
        counted += 1
        momentum = 1 / counted if self.momentum is None else self.momentum
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (variance * count / (count - 1).clamp(min=1) - running_var)


def behind_the_mean(module: nn.Module) -> nn.Module | None:
    """Return the layer in a squeeze-and-excitation that gets the mean of a whole map.

    None where ``module`` is no such thing.
    """
    if type(module) is SEModule:
        return module.fc1
    layers = dict(module.named_children())
    return layers["conv_reduce"] if tuple(layers) == SQUEEZE_OF_EFFICIENTNET else None


def unmaskable(module: nn.Module) -> str | None:
    """Say what in ``module`` could carry hidden values or refuse small maps; None: nothing does."""
    if type(module) is SEModule:
        return "a squeeze with max-pooling" if module.add_maxpool else None
    if type(module) is GlobalResponseNorm or behind_the_mean(module) is not None:
        return None
    if type(module) is nn.Sequential and not len(module):
        return None  # a stage without blocks
    if type(module) is nn.AvgPool2d and not module.ceil_mode:
        return "anti-aliasing by average pooling"
    if isinstance(module, nn.Conv2d) and any(
        side % 2 == 0 and apart > 1
        for side, apart in zip(module.kernel_size, module.dilation, strict=True)
    ):
        return (
            "a dilated convolution of even size, which reads the neighbours of a position and not"
            " the position"
        )
    if type(module) is BatchNormAct2d:
        return next((found for child in module.children() if (found := unmaskable(child))), None)
    if isinstance(module, nn.BatchNorm2d) and type(module) is not nn.BatchNorm2d:
        return type(module).__name__
    children = list(module.children())
    weights = (
        next(module.parameters(recurse=False), None) is not None
    )  # GroupNormAct has children, but is no block
    if not children or (weights and not isinstance(module, ConvNeXtBlock)):
        return (
            None
            if isinstance(module, SPATIAL + CHANNELS_LAST + ZERO_KEEPING + HEAD)
            else type(module).__name__
        )
    return next((found for child in children if (found := unmaskable(child))), None)


def attach(module: nn.Module, visibility: Visibility) -> None:
    """Let every layer below ``module`` obey ``visibility``. State-dict keys and values stay as they
    are."""
    for name, child in module.named_children():
        if (squeezed := behind_the_mean(child)) is not None:
            squeezed.register_forward_pre_hook(visibility.squeeze)
        elif isinstance(child, SPATIAL):
            if isinstance(child, nn.BatchNorm2d):
                child = VisibleBatchNorm2d(child, visibility)
                module.set_submodule(name, child)
            if isinstance(child, nn.Conv2d):
                avoid_lone_positions(child)
            child.register_forward_hook(visibility.hide)
        elif isinstance(child, CHANNELS_LAST) or (
            isinstance(child, GlobalResponseNorm) and child.channel_dim == -1
        ):
            child.register_forward_hook(visibility.hide_last)
        elif isinstance(child, GlobalResponseNorm):
            child.register_forward_hook(visibility.hide)
        else:
            attach(child, visibility)
