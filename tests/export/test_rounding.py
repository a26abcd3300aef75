"""Weights are stored in 16 bits and computed with in 32."""

from __future__ import annotations

import pytest
import torch
from networks import (
    build,
    write,
)

from ssl_patches.export.rounding import DTYPES, is_rounded, rounded, store_rounded


def test_a_weight_that_fp16_cannot_hold_is_refused(tmp_path):
    model = build("vit")
    model.blocks[0].mlp.fc1.weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"above 65504.*precision=bf16"):
        write("vit", tmp_path / "a", model, precision="fp16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_large_weights_are_stored_in_16_bits_and_used_in_32(precision):
    model, images = torch.nn.Sequential(torch.nn.Linear(3, 4)), torch.randn(2, 3)
    expected = model(images)
    weight = model[0].weight.detach().clone()
    store_rounded(model, precision)
    assert model(images).dtype == torch.float32
    assert model.state_dict()["0.parametrizations.weight.original"].dtype == DTYPES[precision]
    assert model[0].bias.dtype == torch.float32
    assert torch.equal(model[0].weight, rounded(weight, precision).float())
    assert 0 < (model(images) - expected).abs().max() < 0.05


def test_biases_and_whole_numbers_are_left_as_they_are():
    assert not is_rounded(torch.zeros(4))
    assert not is_rounded(torch.zeros(4, 4).long())
    assert is_rounded(torch.zeros(4, 4))
