"""Change views after the crop: quarter turns, colour, intensity, grey, blur. Each is usable alone.

All take (B, C, S, S) floats in 0..1 and give the same, with parameters drawn per image, for the
whole batch at once and without a loop: colours by one 3 x 3 matrix per image, blur by two banded
matrices per image, turns by transposing and flipping. In eval mode each is the identity.

Brightness, contrast and saturation are those of torchvision (``adjust_*``), clamped once at the end
rather than after each. Hue is a rotation about the grey axis, which is linear, keeps grey grey and
the sum of the channels as it is; at thirds of a turn it permutes the channels exactly, in between
it differs from the HSV hexagon of torchvision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


class Rotate(nn.Module):
    """A random quarter turn, each of the four equally likely.

    Together with a flip these are all eight symmetries of a square. For images without an up:
    microscopy, satellites. A task that asks for the orientation needs it removed.
    """

    def forward(self, views: Tensor) -> Tensor:
        """Turn (B, C, S, S), each view by its own draw."""
        if not self.training:
            return views
        swap, down = torch.randint(
            2, (2, len(views), 1, 1, 1), device=views.device, dtype=torch.bool
        )
        views = torch.where(swap, views.mT, views)
        views = torch.where(down, views.flip(-2), views)
        # an even number of mirrors is a turn
        return torch.where(swap ^ down, views.flip(-1), views)


class Colour(nn.Module):
    """Random changes of brightness, contrast, saturation and hue.

    The first three are multiplied by a factor in 1 +- the value, hue is turned by up to ``hue`` of
    a turn. RGB only, as soon as ``saturation`` or ``hue`` is above 0.

    ``brightness``: largest change of the factor. Why: half of SimCLR's, whose strength only
    contrast between views needs.
    ``contrast``: largest change of the factor. Why: half of SimCLR's. ``saturation``: largest
    change of the factor. Why: a quarter of SimCLR's. ``hue``: largest turn, in turns. Why: half of
    SimCLR's.
    ``probability``: that an image is changed at all. Why: as SimCLR (Chen et al. 2020).
    """

    def __init__(
        self,
        *,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        probability: float = 0.8,
    ) -> None:
        super().__init__()
        for key, value in (
            ("brightness", brightness),
            ("contrast", contrast),
            ("saturation", saturation),
        ):
            _within(f"views.colour.{key}", value, 1.0)
        _within("views.colour.hue", hue, 0.5)
        _within("views.colour.probability", probability, 1.0)
        self.brightness, self.contrast, self.saturation, self.hue = (
            brightness,
            contrast,
            saturation,
            hue,
        )
        self.probability = probability

    def forward(self, views: Tensor) -> Tensor:
        """Change the colours of (B, C, S, S), shares 0..1. ValueError where it needs C = 3."""
        if not self.training:
            return views
        coloured = self.saturation > 0 or self.hue > 0
        if coloured and views.shape[1] != 3:
            raise ValueError(
                "views.colour: saturation and hue need 3 channels, the images have"
                f" {views.shape[1]}; set views.colour.saturation=0 and views.colour.hue=0, or"
                " views=microscopy"
            )
        draw = 2 * torch.rand(4, len(views), device=views.device) - 1
        brightness, contrast, saturation = (
            1 + scale * part
            for scale, part in zip(
                (self.brightness, self.contrast, self.saturation), draw[:3], strict=True
            )
        )
        changed = adjusted(
            views, brightness, contrast, saturation if coloured else None, self.hue * draw[3]
        )
        return torch.where(_chosen(views, self.probability), changed, views)


def adjusted(
    views: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor | None, hue: Tensor
) -> Tensor:
    """Change the colours of (B, C, H, W), shares 0..1, in the order of the arguments.

    Factors (B,), and ``hue`` (B,) in turns; ``saturation`` None leaves saturation and hue out.
    """
    views = views * brightness.view(-1, 1, 1, 1)
    mean = _grey(views).mean((1, 2, 3), keepdim=True)
    views = mean + contrast.view(-1, 1, 1, 1) * (views - mean)
    if saturation is not None:
        views = torch.einsum(
            "bdc,bchw->bdhw", _hue_matrix(hue) @ _saturation_matrix(saturation), views
        )
    return views.clamp(0, 1)


def _saturation_matrix(factor: Tensor) -> Tensor:
    """Make the matrix (B, 3, 3) factor * identity + (1 - factor) * luma in every channel."""
    factor = factor.view(-1, 1, 1)
    luma = torch.tensor(LUMA, device=factor.device).expand(3, 3)
    return factor * torch.eye(3, device=factor.device) + (1 - factor) * luma


def _hue_matrix(turn: Tensor) -> Tensor:
    """Rotate colours about (1, 1, 1) by ``turn`` (1 = 360 degrees), red towards green: (B, 3, 3).

    Rodrigues' formula.
    """
    angle = 2 * math.pi * turn.view(-1, 1, 1)
    axis = torch.full((3, 3), 1 / 3, device=turn.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=turn.device) / math.sqrt(3)
    return angle.cos() * (torch.eye(3, device=turn.device) - axis) + axis + angle.sin() * cross


class Intensity(nn.Module):
    """Random scale and shift of each channel by itself: times 1 +- ``gain``, plus +- ``offset``.

    For any number of channels: what stains, exposure and bands do to images whose channels are no
    colours.

    ``gain``: largest change of the factor. Why: mild, as intensities are measurements; not measured
    here.
    ``offset``: largest summand, of a full scale of 1. Why: as for gain. ``probability``: that an
    image is changed at all. Why: that of colours in photographs.
    """

    def __init__(self, *, gain: float = 0.2, offset: float = 0.1, probability: float = 0.8) -> None:
        super().__init__()
        for key, value in (("gain", gain), ("offset", offset), ("probability", probability)):
            _within(f"views.colour.{key}", value, 1.0)
        self.gain, self.offset, self.probability = gain, offset, probability

    def forward(self, views: Tensor) -> Tensor:
        """Scale and shift each channel of (B, C, S, S), shares 0..1."""
        if not self.training:
            return views
        gain, offset = 2 * torch.rand(2, *views.shape[:2], 1, 1, device=views.device) - 1
        changed = (views * (1 + self.gain * gain) + self.offset * offset).clamp(0, 1)
        return torch.where(_chosen(views, self.probability), changed, views)


class Grey(nn.Module):
    """The luma in every channel, for some views. RGB only.

    ``probability``: that an image is made grey. Why: as SimCLR (Chen et al. 2020).
    """

    def __init__(self, *, probability: float = 0.2) -> None:
        super().__init__()
        _within("views.grey.probability", probability, 1.0)
        self.probability = probability

    def forward(self, views: Tensor) -> Tensor:
        """Take the colours out of some of (B, 3, S, S), shares 0..1. ValueError for other C."""
        if not self.training:
            return views
        if views.shape[1] != 3:
            raise ValueError(
                f"views.grey: needs 3 channels, the images have {views.shape[1]}; set"
                " views.grey=null"
            )
        return torch.where(_chosen(views, self.probability), _grey(views), views)


class Blur(nn.Module):
    """Gaussian blur of some views; ValueError for values out of range.

    At the border the weights inside the view are renormalised.

    ``sigma``: drawn between these two shares of the view's side. Why: 0.1 to 2 px of 224, as
    SimCLR.
    ``probability``: that an image is blurred. Why: as SimCLR (Chen et al. 2020).
    """

    def __init__(
        self, *, sigma: Sequence[float] = (0.0005, 0.009), probability: float = 0.5
    ) -> None:
        super().__init__()
        if len(sigma) != 2 or not 0 < sigma[0] <= sigma[1] <= 0.5:
            raise ValueError(
                f"views.blur.sigma={list(sigma)}: two shares of the view's side, 0 < low <= high <="
                " 0.5; e.g. views.blur.sigma=[0.0005,0.009]"
            )
        _within("views.blur.probability", probability, 1.0)
        self.sigma, self.probability = tuple(sigma), probability

    def forward(self, views: Tensor) -> Tensor:
        """Blur some of (B, C, S, S), shares 0..1."""
        if not self.training:
            return views
        low, high = self.sigma
        share = low + (high - low) * torch.rand(len(views), device=views.device)
        blurred = blur(views, share * views.shape[-1])
        return torch.where(_chosen(views, self.probability), blurred, views)


def blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, C, H, W) with a Gaussian of ``sigma`` (B,) in pixels."""
    with torch.autocast(views.device.type, enabled=False):
        rows, cols = (_gaussian(side, sigma)[:, None] for side in views.shape[-2:])
        return rows @ views @ cols.mT


def _gaussian(side: int, sigma: Tensor) -> Tensor:
    """Weigh pixels by a Gaussian: (B, side, side), row i reads the line around i."""
    at = torch.arange(side, device=sigma.device, dtype=torch.float32)
    weights = (-((at[:, None] - at) ** 2) / (2 * sigma.view(-1, 1, 1) ** 2)).exp()
    return weights / weights.sum(-1, keepdim=True)


def _grey(views: Tensor) -> Tensor:
    """Reduce views to (B, 1, H, W): luma of RGB, the mean of other channels."""
    if views.shape[1] != 3:
        return views.mean(1, keepdim=True)
    return (views * torch.tensor(LUMA, device=views.device).view(3, 1, 1)).sum(1, keepdim=True)


def _chosen(views: Tensor, probability: float) -> Tensor:
    return torch.rand(len(views), 1, 1, 1, device=views.device) < probability


def _within(key: str, value: float, top: float) -> None:
    if not 0 <= value <= top:
        raise ValueError(
            f"{key}={value}: a number from 0 to {top:g}; set {key}={top / 2:g}, or 0 for none"
        )
