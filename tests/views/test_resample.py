"""A resize per image is torchvision's, and normalised images are those of the export."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from ssl_patches.views import random_boxes
from ssl_patches.views.resample import crop_resize, normalised


def pixels(count: int, height: int, width: int, seed: int) -> Tensor:
    return torch.randint(
        256,
        (count, 3, height, width),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.uint8,
    )


@st.composite
def crops(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Images of any size, one whole-pixel box for each, and the side of the views."""
    count, height, width = 3, draw(st.integers(2, 40)), draw(st.integers(2, 40))
    boxes = []
    for _ in range(count):
        h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
        boxes.append([draw(st.integers(0, height - h)), draw(st.integers(0, width - w)), h, w])
    return (
        pixels(count, height, width, draw(st.integers(0, 99))),
        torch.tensor(boxes),
        draw(st.integers(1, 40)),
    )


def torchvisions(images: Tensor, boxes: Tensor, out: int) -> Tensor:
    return torch.stack(
        [
            tv.resized_crop(image, *box, [out, out], InterpolationMode.BILINEAR, antialias=True)
            for image, box in zip(images, boxes.tolist(), strict=True)
        ]
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(crop=crops())
def test_crop_resize_is_torchvisions_with_a_box_for_each_image(crop: tuple[Tensor, Tensor, int]):
    images, boxes, out = crop
    found = crop_resize(images, boxes.float(), out=out)
    assert (found - torchvisions(images.float() / 255, boxes, out)).abs().max() < 1e-5
    assert (
        found - torchvisions(images, boxes, out).float() / 255
    ).abs().max() <= 1 / 255 + 1e-5  # it rounds twice


def test_the_comparison_sees_a_resize_without_antialias():
    images, boxes = pixels(1, 32, 32, 0), torch.tensor([[0, 0, 32, 32]])
    plain = tv.resized_crop(
        images.float() / 255,
        *boxes[0].tolist(),
        [12, 12],
        InterpolationMode.BILINEAR,
        antialias=False,
    )
    assert (crop_resize(images, boxes.float(), out=12) - plain).abs().max() > 0.1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(crop=crops(), mirror=st.lists(st.booleans(), min_size=3, max_size=3))
def test_mirror_is_a_flip_of_just_those_images(
    crop: tuple[Tensor, Tensor, int], mirror: list[bool]
):
    images, boxes, out = crop
    straight = crop_resize(images, boxes.float(), out=out)
    found = crop_resize(images, boxes.float(), out=out, mirror=torch.tensor(mirror))
    for view, plain, flipped in zip(found, straight, mirror, strict=True):
        assert torch.allclose(view, tv.horizontal_flip(plain) if flipped else plain, atol=1e-6)


@pytest.mark.parametrize("side", [256, 90])
def test_large_images_are_resized_by_torchvisions_own_routine_for_bytes(side: int):
    """Against the products: never more than 1.5 levels of 255 away, and half a level on average,
    which is the rounding."""
    torch.manual_seed(0)
    smooth = torch.rand(3, 3, 12, 12)
    images = (
        torch.nn.functional.interpolate(smooth, (side, side), mode="bicubic").clamp(0, 1) * 255
    ).to(torch.uint8)
    boxes = random_boxes(
        3, (side, side), scale=(0.2, 1.0), ratio=(0.75, 4 / 3), device=images.device
    )
    mirror = torch.tensor([True, False, True])
    found = crop_resize(images, boxes, out=72, mirror=mirror)
    for at, (y, x, h, w) in enumerate(boxes.int().tolist()):
        plain = tv.resized_crop(images[at], y, x, h, w, [72, 72], antialias=True)
        assert torch.equal(found[at], plain.flip(-1) if mirror[at] else plain)
    products = crop_resize(images.float() / 255, boxes, out=72, mirror=mirror)
    assert (found / 255 - products).abs().max() <= 1.5 / 255
    assert (found / 255 - products).abs().mean() <= 0.5 / 255


@pytest.mark.parametrize("levels", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_normalised_images_are_those_of_the_export_bit_for_bit_however_colours_lie(
    levels: bool, channels: int
):
    images = torch.randint(256, (2, channels, 5, 7), dtype=torch.uint8)
    images = images if levels else images / 255
    mean, std = torch.rand(2, channels, 1, 1) + 0.1
    wanted = ((images / 255 if levels else images) - mean) / std
    assert torch.equal(normalised(images, mean, std), wanted)
    assert torch.equal(normalised(images.to(memory_format=torch.channels_last), mean, std), wanted)
