"""Numbers: ridge regression, its strength chosen on a part of train."""

import torch

from ssl_patches.evaluation.probes.ridge import value_probe


def drawn(count, seed):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=draw) * torch.tensor([1.0, 10.0, 0.1, 1.0])
    y = torch.stack([x[:, 0] + 0.1 * x[:, 1], 1000 * x[:, 2]], 1) + 3
    return x, y


def test_a_linear_law_is_found_in_any_unit():
    (train, values), (test, expected) = drawn(200, 0), drawn(30, 1)
    predicted, settings = value_probe(train, values, test)
    assert predicted.shape == (30, 2)
    assert predicted.dtype == torch.float32
    assert (predicted - expected).abs().max() < 0.01 * expected.std()
    assert settings["strength"] == min(settings["held_out_r2"])
    assert settings["edge"]


def test_noise_wants_a_strong_penalty():
    train, test = torch.randn(60, 40), torch.randn(10, 40)
    values = torch.randn(60, 1)
    _, settings = value_probe(train, values, test)
    assert settings["strength"] >= 1e-1
