"""Figures of features: the nearest, like colours for like features, the brightest attention."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.training.figures.features import heat, neighbours, principal_colours


def test_nearest_is_by_direction_and_never_the_image_itself():
    bank = torch.tensor([[1.0, 0.0], [5.0, 0.1], [0.0, 1.0], [-1.0, 0.0]])
    cosines, places = neighbours(bank[[0]], bank, own=[0], k=2)
    assert places.tolist() == [[1, 2]]  # the long one points the same way
    assert cosines[0, 1].item() == pytest.approx(0)


def test_patches_of_like_features_get_like_colours():
    left, right = torch.randn(2, 8, 1, 1, generator=torch.Generator().manual_seed(0))
    dense = torch.cat([left.expand(3, 8, 4, 2), right.expand(3, 8, 4, 2)], 3)
    colours = principal_colours(dense)
    assert colours.shape == (3, 3, 4, 4)
    assert torch.equal(colours[..., :2], colours[:1, :, :1, :1].expand(3, 3, 4, 2))
    assert (colours[0, :, 0, 0] - colours[0, :, 0, 3]).abs().max() > 0.9
    assert torch.equal(principal_colours(torch.ones(2, 8, 3, 3)), torch.zeros(2, 3, 3, 3))


def test_what_is_looked_at_most_is_brightest():
    seen = heat(torch.zeros(1, 3, 4, 4), torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])).mean(1)[0]
    assert seen[0, 0] < 0.01
    assert seen[0, 0] < seen[0, 2] < seen[3, 0] < seen[3, 3]
