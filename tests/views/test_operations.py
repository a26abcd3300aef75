"""Each operation on views is what its name says, drawn per image, and gone when it is removed."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torch import Tensor

from ssl_patches.views import Blur, Colour, Grey, Intensity, Rotate
from ssl_patches.views.operations import adjusted, blur

OPERATIONS = {
    "rotate": Rotate(),
    "colour": Colour(probability=1.0),
    "intensity": Intensity(probability=1.0),
    "grey": Grey(probability=1.0),
    "blur": Blur(probability=1.0, sigma=(0.05, 0.1)),
}


def muted(count: int = 1, size: int = 12, channels: int = 3) -> Tensor:
    """Pixels far enough from black and white that nothing is clamped."""
    return 0.4 + 0.2 * torch.rand(
        count, channels, size, size, generator=torch.Generator().manual_seed(0)
    )


def turned(value: float) -> Tensor:
    return torch.tensor([value])


ONE, NONE = turned(1.0), turned(0.0)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_brightness_contrast_and_saturation_are_those_of_torchvision(factor: float):
    views, by = muted(), turned(factor)
    for found, expected in (
        (adjusted(views, by, ONE, ONE, NONE), tv.adjust_brightness(views, factor)),
        (adjusted(views, ONE, by, ONE, NONE), tv.adjust_contrast(views, factor)),
        (adjusted(views, ONE, ONE, by, NONE), tv.adjust_saturation(views, factor)),
    ):
        assert (found - expected).abs().max() < 1e-4  # torchvision's luma has four digits


def test_a_third_of_a_turn_of_hue_moves_red_to_green_and_grey_stays():
    views = muted()
    assert torch.allclose(
        adjusted(views, ONE, ONE, ONE, turned(1 / 3)), views[:, [2, 0, 1]], atol=1e-5
    )
    assert torch.allclose(
        adjusted(views, ONE, ONE, ONE, turned(1 / 3)), tv.adjust_hue(views, 1 / 3), atol=1e-3
    )
    grey = views[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(adjusted(grey, ONE, ONE, ONE, turned(0.1)), grey, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.7])
def test_blur_is_a_gaussian_away_from_the_border_and_keeps_flat_views_flat(sigma: float):
    views = muted(size=40)
    expected = tv.gaussian_blur(views, kernel_size=[15, 15], sigma=[sigma, sigma])
    assert torch.allclose(
        blur(views, turned(sigma))[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], atol=1e-4
    )
    assert torch.allclose(
        blur(torch.full((1, 1, 9, 9), 0.3), turned(sigma)), torch.full((1, 1, 9, 9), 0.3), atol=1e-6
    )


def test_rotate_gives_the_four_turns_equally_often_and_no_mirror():
    torch.manual_seed(0)
    view = muted(size=5)
    turns = [view[0].rot90(k, (1, 2)) for k in range(4)]
    found = [
        next((k for k, turn in enumerate(turns) if torch.equal(one, turn)), None)
        for one in Rotate()(view.expand(400, -1, -1, -1))
    ]
    assert None not in found
    assert all(70 < found.count(k) < 130 for k in range(4))


def test_grey_has_three_equal_channels_of_the_luma():
    found = Grey(probability=1.0)(muted())
    assert torch.allclose(found, tv.rgb_to_grayscale(muted(), num_output_channels=3), atol=1e-4)


def test_intensity_changes_each_channel_by_itself():
    torch.manual_seed(0)
    found = Intensity(probability=1.0, offset=0.0)(muted(8, channels=5))
    ratio = (found / muted(8, channels=5)).flatten(2)
    assert ratio.std(-1).max() < 1e-5  # one factor per channel
    assert len(ratio[..., 0].flatten().unique()) == 40
    assert 0.8 <= ratio.min() < 0.9 < 1.1 < ratio.max() <= 1.2


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_image_has_a_draw_of_its_own_and_eval_mode_none(name: str):
    operation, views = OPERATIONS[name], muted().expand(32, -1, -1, -1)
    torch.manual_seed(0)
    found = operation.train()(views)
    if name != "grey":
        assert len({tuple(one.flatten()[:20].tolist()) for one in found}) >= (
            4 if name == "rotate" else 30
        )
    assert found.min() >= 0
    assert found.max() <= 1
    torch.manual_seed(0)
    assert torch.equal(found, operation(views))
    assert operation.eval()(views) is views
    operation.train()


@pytest.mark.parametrize(
    "operation",
    [
        Colour(probability=0.3),
        Intensity(probability=0.3),
        Grey(probability=0.3),
        Blur(probability=0.3, sigma=(0.1, 0.2)),
    ],
)
def test_the_probability_is_the_share_of_images_changed(operation: torch.nn.Module):
    torch.manual_seed(0)
    views = muted(1000, size=4)
    share = (operation.train()(views) != views).flatten(1).any(1).float().mean()
    assert 0.24 < share < 0.36


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Colour(brightness=1.5), "views.colour.brightness=1.5: a number from 0 to 1; set"),
        (lambda: Colour(hue=0.6), "views.colour.hue=0.6: a number from 0 to 0.5"),
        (lambda: Grey(probability=-0.1), "views.grey.probability=-0.1"),
        (lambda: Intensity(gain=2), "views.colour.gain=2"),
        (lambda: Blur(sigma=(0.1, 0.01)), "views.blur.sigma=[0.1, 0.01]: two shares"),
    ],
)
def test_bad_arguments_are_refused_by_key_with_a_remedy(make, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
