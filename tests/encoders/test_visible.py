"""Under a mask a layer neither shows nor counts what is hidden."""

from __future__ import annotations

import torch
from torch import nn

from ssl_patches.encoders.visible import Visibility, VisibleBatchNorm2d, unmaskable


def test_statistics_are_those_of_visible_positions():
    torch.manual_seed(0)
    visibility, cells = (
        Visibility(),
        torch.tensor([[[[True, False], [True, True]]]]).expand(4, 1, 2, 2),
    )
    values = torch.randn(4, 3, 2, 2) * cells
    norm = VisibleBatchNorm2d(nn.BatchNorm2d(3), visibility).train()
    with visibility.only(cells):
        found = norm(values)
    shown = found.permute(0, 2, 3, 1)[cells[:, 0]]
    assert torch.allclose(shown.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(shown.std(0, correction=0), torch.ones(3), atol=1e-3)


def test_without_a_mask_it_is_torchs_batch_norm():
    torch.manual_seed(0)
    plain, values = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    ours = VisibleBatchNorm2d(plain, Visibility())
    assert torch.equal(ours(values), plain(values))
    assert torch.equal(ours.running_var, plain.running_var)


def test_what_carries_hidden_values_is_named_and_an_empty_stage_is_not():
    assert unmaskable(nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sequential(), nn.ReLU())) is None
    assert unmaskable(nn.Sequential(nn.InstanceNorm2d(3, affine=True))) == "InstanceNorm2d"
    assert unmaskable(nn.AvgPool2d(2)) == "anti-aliasing by average pooling"
