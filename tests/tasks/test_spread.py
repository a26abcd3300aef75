"""Penalties against collapse: closed forms, signs, and that a batch size changes nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssl_patches.tasks.spread import SPREADS, coding_rate, epps_pulley, log_det, sigreg


def exact(values: Tensor) -> float:
    """The Epps-Pulley integral over the whole line, divided by N, of one column (N,)."""
    pairs = (-(values[:, None] - values).square() / 2).exp().mean() * math.sqrt(2 * math.pi)
    single = 2 * math.sqrt(math.pi) * (-values.square() / 4).exp().mean()
    return float(pairs - single + math.sqrt(2 * math.pi / 3))


@pytest.mark.parametrize(
    "values",
    [torch.zeros(9), torch.tensor([-1.0, 1.0]), torch.linspace(-1.7, 1.7, 99), torch.randn(50) * 2],
    ids=["zeros", "two", "uniform", "wide"],
)
def test_the_statistic_is_the_integral_but_for_what_lies_beyond_three(values):
    values = values.double()
    assert float(epps_pulley(values[:, None])) == pytest.approx(exact(values), abs=0.0075)


def test_the_statistic_of_equal_features_is_what_the_paper_gives():
    assert float(epps_pulley(torch.zeros(7, 3).double())) == pytest.approx(0.40205, abs=1e-4)


def test_the_statistic_of_normal_features_is_106_over_n():
    torch.manual_seed(0)
    found = torch.stack([epps_pulley(torch.randn(64, 32)) for _ in range(30)]).mean()
    assert float(found) == pytest.approx(1.06 / 64, rel=0.1)


def test_the_coding_rate_has_its_two_closed_forms():
    assert float(coding_rate(torch.ones(5, 16).double())) == pytest.approx(-2.197, abs=1e-3)
    assert float(coding_rate(torch.eye(16).double())) == pytest.approx(-14.334, abs=1e-3)


def test_log_det_is_the_divergence_of_two_normals():
    """Of N(m, s^2 I) and N(0, I): (s^2 + m^2 - 1) / 2 - log s per direction."""
    torch.manual_seed(0)
    draws = torch.randn(20000, 4).double()
    draws = (draws - draws.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(draws.T.cov(correction=0))
    ).T
    found = float(log_det(draws * 0.5 + 2.0, rotate=False))
    assert found == pytest.approx((0.25 + 4 - 1) / 2 - math.log(0.5), abs=1e-3)


@pytest.mark.parametrize("spread", SPREADS)
def test_spread_features_cost_less_than_collapsed_ones(spread):
    torch.manual_seed(0)
    penalty, features = SPREADS[spread], torch.randn(256, 16)
    thin = torch.randn(256, 1) * torch.randn(1, 16)
    equal = torch.ones(256, 16) + 1e-3 * torch.randn(256, 16)
    assert penalty(features) < penalty(thin) - 0.01
    assert penalty(features) < penalty(equal) - 0.01


@pytest.mark.parametrize("spread", SPREADS)
def test_descending_on_a_penalty_spreads_features_that_are_nearly_equal(spread):
    torch.manual_seed(0)
    features = torch.nn.Parameter(torch.ones(64, 8) + 0.1 * torch.randn(64, 8))

    def rank() -> float:
        centred = features.detach() - features.detach().mean(0)
        share = torch.linalg.svdvals(centred) / torch.linalg.svdvals(centred).sum()
        return float(torch.exp(-(share * share.log()).sum()))

    before, optimizer = features.detach().std(0).mean(), torch.optim.Adam([features], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        SPREADS[spread](features).backward()
        optimizer.step()
    assert features.detach().std(0).mean() > 3 * before
    assert rank() > 6


@pytest.mark.parametrize("spread", SPREADS)
def test_the_number_of_images_does_not_change_a_penalty(spread):
    torch.manual_seed(0)
    few, many = torch.randn(2, 4096, 8).unbind(0)
    torch.manual_seed(1)
    first = SPREADS[spread](few[:1024] * 0.7)
    torch.manual_seed(1)
    second = SPREADS[spread](many * 0.7)
    assert float(first) == pytest.approx(float(second), rel=0.05, abs=0.02)


@pytest.mark.parametrize("spread", SPREADS)
def test_penalties_are_computed_in_fp32_under_autocast(spread):
    torch.manual_seed(0)
    features = torch.randn(64, 8)
    torch.manual_seed(1)
    plain = SPREADS[spread](features)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(SPREADS[spread](features), plain)


def test_a_batch_smaller_than_its_width_has_a_finite_log_det():
    assert torch.isfinite(log_det(torch.randn(16, 192)))
    assert torch.isfinite(sigreg(torch.randn(2, 64)))


@pytest.mark.parametrize("spread", SPREADS)
def test_rows_that_do_not_count_change_nothing(spread):
    """As if they had been picked, in value and in gradient."""
    torch.manual_seed(0)
    features = torch.randn(128, 8, dtype=torch.float64, requires_grad=True)
    counted = torch.rand(128) < 0.6
    values, gradients = [], []
    for given in ((features[counted],), (features, counted)):
        torch.manual_seed(1)
        values.append(SPREADS[spread](*given))
        gradients.append(torch.autograd.grad(values[-1], features)[0])
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-5)
    assert torch.allclose(*gradients, atol=1e-7)
    assert torch.equal(gradients[1][~counted], torch.zeros_like(features[~counted]))
