"""What a view module tells of itself, and what is taken of one that tells nothing."""

from __future__ import annotations

import torch
from torch import nn

from ssl_patches.types import Views
from ssl_patches.views import CropFlip, MultiCrop
from ssl_patches.views.module import crops_of, overlapping, small_size_of


def test_a_view_module_says_how_many_views_it_makes():
    several = MultiCrop(image_size=16, large=2, small=3, small_size=8)
    made = several(torch.zeros(1, 3, 20, 20, dtype=torch.uint8))
    assert isinstance(made, Views)
    assert crops_of(several) == made.count + made.small_count == 5
    assert small_size_of(several) == 8
    assert not overlapping(several)
    assert overlapping(MultiCrop(image_size=16, near=0.1))
    assert (crops_of(CropFlip(image_size=16)), small_size_of(CropFlip(image_size=16))) == (1, None)


def test_a_strangers_module_makes_one_view():
    assert (crops_of(nn.Identity()), small_size_of(nn.Identity())) == (1, None)
