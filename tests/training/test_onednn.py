"""Linear maps by oneDNN are the linear maps, within the block and only there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ssl_patches.training import onednn
from ssl_patches.training.onednn import OneDnnLinear, linears_in_onednn


def outcome(module, compute) -> tuple[torch.Tensor, list[torch.Tensor]]:
    module.zero_grad()
    value = compute()
    value.square().mean().backward()
    return value.detach(), [p.grad.clone() for p in module.parameters()]


def apart(left, right) -> float:
    """Largest difference of value and of each gradient, as a share of the largest entry."""
    pairs = [(left[0], right[0]), *zip(left[1], right[1], strict=True)]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-3)) for a, b in pairs)


@pytest.mark.parametrize("bias", [True, False])
def test_onednn_linear_is_the_linear(bias):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(96, 64, bias=bias), nn.GELU(), nn.Linear(64, 32, bias=bias))
    x = torch.randn(5, 7, 96)
    plain = outcome(net, lambda: net(x))
    with linears_in_onednn(net):
        assert [type(layer) for layer in net] == [OneDnnLinear, nn.GELU, OneDnnLinear]
        quick = outcome(net, lambda: net(x))
        with (
            torch.no_grad(),
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen,
        ):
            net(x)
    assert apart(quick, plain) < 1e-6
    called = {event.key for event in seen.key_averages()}
    assert "aten::linear" in called
    assert "mkldnn::_linear_pointwise" not in called, "without gradients it is torch's own"
    assert type(net[0]) is nn.Linear


def test_breaks_when_torch_renames_the_onednn_product() -> None:
    """``mkldnn::_linear_pointwise`` is private; where it is gone, torch's own product is used."""
    if torch.backends.mkldnn.is_available():
        x, weight = torch.randn(2, 3), torch.randn(4, 3)
        found = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        torch.testing.assert_close(found, x @ weight.mT)


def test_where_the_product_is_gone_nothing_is_changed(monkeypatch) -> None:
    monkeypatch.setattr(onednn, "PRODUCT", "_renamed")
    assert onednn.quicker_in_onednn() is None


def test_a_copy_made_within_the_block_keeps_its_kind() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    with linears_in_onednn(net):
        assert type(copy.deepcopy(net)[0]) is OneDnnLinear
    assert type(net[0]) is nn.Linear
