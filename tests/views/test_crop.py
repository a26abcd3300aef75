"""Views by content: against torchvision, and on images that hold their own coordinates."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from ssl_patches.views import CropFlip, MultiCrop, Whole, random_boxes, whole_boxes
from ssl_patches.views.resample import crop_resize, normalised

WIDE = {"scale": (0.1, 1.0), "ratio": (0.5, 2.0)}


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


@settings(max_examples=40, deadline=None, derandomize=True)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_random_boxes_are_whole_pixels_inside_the_image_and_not_empty(height: int, width: int):
    torch.manual_seed(0)
    boxes = random_boxes(200, (height, width), device=torch.device("cpu"), **WIDE)
    assert torch.equal(boxes, boxes.round())
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= torch.tensor([height, width])).all()


def lines_in(boxes: Tensor, size: tuple[int, int]) -> list[int]:
    """How many rows and columns some box covers."""
    covered = []
    for axis, side in enumerate(size):
        line = torch.arange(side)
        start, extent = boxes[:, axis, None], boxes[:, 2 + axis, None]
        covered.append(int(((line >= start) & (line < start + extent)).any(0).sum()))
    return covered


@pytest.mark.parametrize("size", [(32, 32), (20, 44)])
def test_random_boxes_reach_every_row_and_column_and_every_start_is_as_likely(
    size: tuple[int, int],
):
    torch.manual_seed(0)
    boxes = random_boxes(
        8000, size, scale=(0.05, 0.1), ratio=(0.75, 4 / 3), device=torch.device("cpu")
    )
    assert lines_in(boxes, size) == list(size)
    for axis in (0, 1):
        free = size[axis] - boxes[:, 2 + axis]
        share = (boxes[:, axis] / free).mean()  # uniform on 0..free
        assert abs(share - 0.5) < 4.5 * 0.3 / 8000**0.5
        for end in (boxes[:, axis] == 0, boxes[:, axis] == free):
            assert 0.5 < end.float().mean() * (free + 1).mean() < 1.6


def test_the_coverage_check_catches_boxes_that_never_reach_the_last_row():
    boxes = random_boxes(
        2000, (32, 32), scale=(0.05, 0.1), ratio=(0.75, 4 / 3), device=torch.device("cpu")
    )
    boxes[:, 0] = boxes[:, 0].clamp(max=31 - boxes[:, 2])
    assert lines_in(boxes, (32, 32)) == [31, 32]


def test_shares_of_the_area_and_aspects_keep_their_bounds():
    torch.manual_seed(0)
    boxes = random_boxes(
        2000, (400, 400), scale=(0.2, 0.5), ratio=(0.75, 4 / 3), device=torch.device("cpu")
    )
    h, w = boxes[:, 2], boxes[:, 3]
    area, aspect = h * w / 160_000, w / h
    assert area.min() > 0.195
    assert area.max() < 0.505
    assert 0.2 < area.quantile(0.1) < 0.25
    assert 0.74 < aspect.min() < 0.77
    assert 1.3 < aspect.max() < 1.35
    assert abs(aspect.log().mean()) < 0.02


def coordinates(count: int, size: int) -> Tensor:
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(count, -1, -1, -1)


def test_each_image_gets_its_own_crop_and_its_own_flip():
    torch.manual_seed(0)
    views = CropFlip(image_size=16)(coordinates(64, 32))
    assert len({tuple(corner) for corner in views[..., 0, 0].tolist()}) > 50
    flipped = views[:, 1, 0, 0] > views[:, 1, 0, -1]
    assert 16 < flipped.sum() < 48
    assert (views[:, 0, 0] < views[:, 0, -1]).all()  # never upside down
    torch.manual_seed(0)
    assert torch.equal(views, CropFlip(image_size=16)(coordinates(64, 32)))


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_flip_0_and_1_are_never_and_always(flip: float, share: float):
    views = CropFlip(image_size=16, flip=flip)(coordinates(32, 32))
    assert (views[:, 1, 0, 0] > views[:, 1, 0, -1]).float().mean() == share


@pytest.mark.parametrize("size", [(32, 32), (32, 48), (47, 20)])
def test_in_eval_mode_the_view_is_the_largest_centred_square_unflipped(size: tuple[int, int]):
    images, side = pixels(2, *size, seed=0), min(size)
    expected = tv.resize(
        tv.center_crop(images.float() / 255, [side, side]), [16, 16], antialias=True
    )
    if (max(size) - side) % 2:  # of two middles torchvision takes the one rounded to even
        expected = crop_resize(images, whole_boxes(images), out=16)
        assert (whole_boxes(images)[0, :2] - (torch.tensor(size) - side) / 2).abs().max() <= 0.5
    for views in (CropFlip(image_size=16).eval(), Whole(image_size=16)):
        assert torch.allclose(views(images), expected, atol=1e-5)


def test_an_image_of_the_views_size_passes_whole_unchanged():
    images = pixels(2, 16, 16, seed=0)
    assert Whole(image_size=16)(images) is images
    assert torch.allclose(CropFlip(image_size=16).eval()(images), images / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"scale": (0.0, 1.0)},
            "views.scale=[0.0, 1.0]: two numbers 0 < low <= high <= 1; e.g. views.scale=[0.5,1.0]",
        ),
        ({"scale": (0.5, 1.5)}, "views.scale=[0.5, 1.5]"),
        ({"scale": (0.5,)}, "views.scale=[0.5]: two numbers"),
        (
            {"ratio": (2.0, 1.0)},
            "views.ratio=[2.0, 1.0]: two numbers 0 < low <= high; e.g. views.ratio=[0.5,1.0]",
        ),
        ({"flip": 1.5}, "views.flip=1.5: a probability from 0 to 1; set views.flip=0.5"),
    ],
)
def test_bad_arguments_are_refused_by_key_with_a_remedy(arguments: dict, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        CropFlip(image_size=32, **arguments)


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


def test_crops_of_an_image_follow_each_other_large_ones_first_and_none_is_of_another():
    torch.manual_seed(0)
    images = coordinates(3, 64).contiguous() / 64 + torch.tensor([0.0, 10.0, 20.0]).view(3, 1, 1, 1)
    views = MultiCrop(
        image_size=16, large=2, small=3, flip=0, small_scale=(0.05, 0.1), large_scale=(0.5, 1.0)
    )(images)
    assert (views.count, views.large, views.small) == (5, 2, None)
    views = views.images
    assert views.shape == (15, 2, 16, 16)
    assert (views.mean((1, 2, 3)) / 10).floor().tolist() == [0] * 5 + [1] * 5 + [2] * 5
    shown = (views[:, 0, -1, 0] - views[:, 0, 0, 0]).view(3, 5)  # how much of the height
    assert shown[:, :2].min() > 0.55
    assert shown[:, 2:].max() < 0.4
    assert len({tuple(corner) for corner in views[:, :, 0, 0].tolist()}) == 15


def test_without_training_there_is_one_whole_view_of_each_image():
    images = coordinates(3, 64).contiguous() / 64
    assert torch.equal(
        MultiCrop(image_size=16).eval()(images), CropFlip(image_size=16).eval()(images)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"large": 0, "small": 0}, "views.large=0, views.small=0: at least one crop"),
        ({"small": -1}, "views.large=2, views.small=-1"),
        ({"small_scale": (0.5, 0.1)}, "views.small_scale=[0.5, 0.1]"),
        ({"large_scale": (0.5, 1.1)}, "views.large_scale=[0.5, 1.1]"),
    ],
)
def test_crops_that_cannot_be_drawn_are_refused(given: dict[str, object], said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        MultiCrop(image_size=16, **given)


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
