"""Several crops of each image follow each other, large ones first."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from ssl_patches.views import CropFlip, MultiCrop


def coordinates(count: int, size: int) -> Tensor:
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(count, -1, -1, -1)


def test_crops_of_an_image_follow_each_other_large_ones_first_and_none_is_of_another():
    torch.manual_seed(0)
    images = coordinates(3, 64).contiguous() / 64 + torch.tensor([0.0, 10.0, 20.0]).view(3, 1, 1, 1)
    views = MultiCrop(
        image_size=16, large=2, small=3, flip=0, small_scale=(0.05, 0.1), large_scale=(0.5, 1.0)
    )(images)
    assert (views.count, views.large) == (5, 2)
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


@pytest.mark.parametrize("side", [0, 8, 17])
@pytest.mark.parametrize("small", [0, 2])
@pytest.mark.parametrize("large", [0, 2])
def test_what_is_said_of_small_crops_makes_them(large: int, small: int, side: int):
    given = {"large": large, "small": small, "small_size": side}
    if small and side == 8:
        MultiCrop(image_size=16, **given)
    elif large or small:
        with pytest.raises(ValueError, match=f"views.small_size={side}") as refusal:
            MultiCrop(image_size=16, **given)
        remedies = str(refusal.value).rpartition("; set ")[2].partition(", or ")[0]
        said = re.findall(r"views\.(\w+)=(\d+)", remedies)
        MultiCrop(image_size=16, **given | {key: int(value) for key, value in said})
        MultiCrop(image_size=16, **given | {"small_size": None})


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_the_boxes_of_crops_say_where_their_pixels_are_from(flip: float):
    torch.manual_seed(0)
    images = coordinates(6, 64).contiguous() / 64
    crop = MultiCrop(image_size=16, large=2, small=0, large_scale=(0.1, 0.3), near=0.3, flip=flip)
    made = crop(images)
    assert made.boxes is not None
    y, x, h, w = made.boxes.unbind(-1)
    assert torch.allclose(made.images[:, 0].mean((1, 2)) * 64 + 0.5, y + h / 2, atol=0.1)
    edges = torch.stack([made.images[:, 1, :, 0], made.images[:, 1, :, -1]], -1).mean(1) * 64
    assert torch.equal(edges[:, 1] > edges[:, 0], w > 0), "a mirrored crop has a negative width"
    middle = (x + w / 2).view(6, 2)
    assert ((middle[:, 1] - middle[:, 0]).abs() <= 0.3 * w.abs().view(6, 2)[:, 0] + 1).all()


def test_small_crops_need_no_large_ones():
    images = torch.rand(2, 3, 20, 20)
    made = MultiCrop(image_size=16, large=0, small=2, small_size=8)(images)
    assert (made.count, made.large, made.small, made.images.shape) == (2, 2, None, (4, 3, 8, 8))


def test_a_distance_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match=re.escape("views.near=-0.1: a share")):
        MultiCrop(image_size=16, near=-0.1)
