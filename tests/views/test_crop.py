"""Views by content: against torchvision, and on images that hold their own coordinates."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from ssl_patches.views import CropFlip, Whole, random_boxes, whole_boxes
from ssl_patches.views.resample import crop_resize

WIDE = {"scale": (0.1, 1.0), "ratio": (0.5, 2.0)}


def pixels(count: int, height: int, width: int, seed: int) -> Tensor:
    return torch.randint(
        256,
        (count, 3, height, width),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.uint8,
    )


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
