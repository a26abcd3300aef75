"""Numbers about features without labels, against cases that can be done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from ssl_patches.training.callbacks import panel

CONSTANT = torch.full((6, 4), 0.3)


def with_values(*values: float, rows: int = 6) -> torch.Tensor:
    """(rows, len(values)) with just these singular values, in directions that are no axes."""
    torch.manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in (rows, len(values))
    )
    return left[:, : len(values)] * torch.tensor(values, dtype=torch.float64) @ right


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ((1.0, 1.0, 1.0, 1.0), 4.0),  # all directions alike
        ((5.0, 0.0, 0.0), 1.0),  # one direction
        ((3.0, 1.0), 4 / 3**0.75),  # shares 3/4 and 1/4: exp(3/4 ln 4/3 + 1/4 ln 4)
        ((2.0, 1.0, 1.0), 2**1.5),  # shares 1/2, 1/4, 1/4: exp(1/2 ln 2 + 1/2 ln 4)
    ],
)
def test_effective_rank_by_hand(values, rank):
    assert panel.effective_rank(with_values(*values)) == pytest.approx(rank, rel=1e-6)
    assert panel.effective_rank(7 * with_values(*values)) == pytest.approx(rank, rel=1e-6)


def test_rank_is_that_of_all_images_and_a_mean_over_batches_is_not():
    features = torch.eye(32)
    assert panel.effective_rank(features) == pytest.approx(32, rel=1e-6)
    assert max(panel.effective_rank(batch) for batch in features.split(8)) < 9


def test_rank_of_what_is_not_finite_is_not_a_number():
    features = torch.eye(4)
    features[0, 0] = math.inf
    assert math.isnan(panel.effective_rank(features))
    assert panel.effective_rank(torch.zeros(4, 3)) == 0


def test_deviation_by_hand():
    features = torch.tensor(
        [[2.0, 0.0], [0.0, 5.0]]
    )  # on the sphere (1, 0) and (0, 1): 1/2 in each dimension
    assert panel.deviations(features).tolist() == pytest.approx([0.5**0.5] * 2)
    assert panel.deviations(CONSTANT).abs().max() < 1e-7


def test_features_spread_evenly_have_deviation_one():
    torch.manual_seed(0)
    assert panel.deviations(torch.randn(4000, 16)).mean() == pytest.approx(1, abs=0.02)


def test_mean_cosine_is_that_of_all_pairs():
    torch.manual_seed(0)
    features = torch.randn(9, 5) + 1
    pairs = [
        F.cosine_similarity(features[i], features[j], dim=0)
        for i in range(9)
        for j in range(9)
        if i != j
    ]
    assert panel.mean_cosine(features) == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-6)


def test_alignment_and_uniformity_by_hand():
    right_angle, opposite = (
        torch.tensor([[3.0, 0.0], [0.0, 1.0]]),
        torch.tensor([[3.0, 0.0], [-1.0, 0.0]]),
    )
    assert panel.alignment(right_angle, right_angle.flip(0)) == pytest.approx(
        2
    )  # squared distance at a right angle
    assert panel.alignment(right_angle, 5 * right_angle) == pytest.approx(0)
    assert panel.uniformity(right_angle) == pytest.approx(-4)  # -2 * 2
    assert panel.uniformity(opposite) == pytest.approx(-8)  # -2 * 4
    assert panel.uniformity(CONSTANT) == pytest.approx(0, abs=1e-9)


def test_dead_features_are_alike_and_not_different():
    """A network whose last units are all off gives zeros, whose cosine is undefined."""
    assert panel.mean_cosine(torch.zeros(5, 3)) == pytest.approx(1)
    assert panel.deviations(torch.zeros(5, 3)).max() < 1e-7


def test_one_image_is_refused():
    with pytest.raises(ValueError, match=r"callbacks.health: 1 held-out image; .*callbacks=none"):
        panel.panel(torch.ones(1, 3), torch.ones(1, 3))
