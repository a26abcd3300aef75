"""Figures and their bounds, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    mean_absolute_error,
    r2_score,
)

from ssl_patches.evaluation.metrics import (
    balanced_accuracy,
    bounds,
    mean_average_precision,
    metrics_of,
    resamples,
    rows_of,
)


def drawn(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_average_precision_is_scikit_learns_also_with_ties_and_weights():
    scores = (drawn(200, 3, seed=0) * 10).round() / 10  # eleven different scores
    wanted = drawn(200, 3, seed=1) < 0.2 + 0.6 * scores
    counts = torch.cat([torch.ones(1, 200), next(resamples(200, count=2))])
    ours = mean_average_precision(scores, wanted, counts)
    for found, weight in zip(ours, counts, strict=True):
        each = [
            average_precision_score(wanted[:, l], scores[:, l], sample_weight=weight)
            for l in range(3)
        ]
        assert found.item() == pytest.approx(np.mean(each), abs=1e-6)


def test_balanced_accuracy_is_scikit_learns_also_with_weights():
    wanted = (drawn(120, seed=0) * 3).long()
    predicted = torch.where(drawn(120, seed=1) < 0.6, wanted, (drawn(120, seed=2) * 3).long())
    counts = torch.cat([torch.ones(1, 120), next(resamples(120, count=2))])
    for found, weight in zip(balanced_accuracy(predicted, wanted, counts), counts, strict=True):
        each = balanced_accuracy_score(wanted, predicted, sample_weight=weight)
        assert found.item() == pytest.approx(each, abs=1e-9)


def test_answering_the_largest_class_is_accurate_and_not_balanced():
    wanted = torch.tensor([0] * 90 + [1] * 10)
    always, once = torch.zeros(100, dtype=torch.long), torch.ones(1, 100)
    assert metrics_of(always, wanted, kind="class")["top1"].item() == pytest.approx(90)
    assert balanced_accuracy(always, wanted, once).item() == 0.5
    only_zeros = torch.cat([torch.ones(1, 90), torch.zeros(1, 10)], 1)
    assert balanced_accuracy(always, wanted, only_zeros).item() == 1.0  # no 1 is there to be told


def test_a_label_without_a_positive_has_no_say():
    scores, wanted = drawn(50, 2, seed=0), drawn(50, 2, seed=1) < 0.3
    alone = mean_average_precision(scores[:, :1], wanted[:, :1], torch.ones(1, 50))
    wanted[:, 1] = False
    assert torch.equal(mean_average_precision(scores, wanted, torch.ones(1, 50)), alone)


@pytest.mark.parametrize("offset", [0, 1e6])
def test_variance_explained_and_error_agree_with_scikit_learn(offset):
    wanted = drawn(100, 2, seed=0).double() + offset
    predicted = wanted + 0.2 * drawn(100, 2, seed=1).double()
    counts = next(resamples(100, count=3))
    found = metrics_of(predicted, wanted, kind="value", counts=counts)
    asked = (wanted.numpy(), predicted.numpy())
    for row, weight in enumerate(counts.numpy()):
        assert found["r2"][row].item() == pytest.approx(
            100 * r2_score(*asked, sample_weight=weight), rel=1e-5
        )
        error = mean_absolute_error(*asked, sample_weight=weight)
        assert found["mae"][row].item() == pytest.approx(error, rel=1e-5)


def test_resamples_are_the_same_every_time_and_draw_as_many_images_as_there_are(monkeypatch):
    whole = torch.cat(list(resamples(37, count=50)))
    assert torch.equal(whole.sum(1), torch.full((50,), 37.0))
    assert whole.mean(0).std() < 0.2  # every image about as often
    assert len({tuple(row.tolist()) for row in whole}) == 50
    monkeypatch.setattr("ssl_patches.evaluation.metrics.AT_ONCE", 37 * 7)
    assert torch.equal(torch.cat(list(resamples(37, count=50))), whole)


def test_bounds_are_the_middle_95_percent_and_undefined_figures_are_left_out():
    values = torch.cat([torch.arange(1001.0), torch.full((9,), torch.nan)])
    assert bounds(values) == pytest.approx((25, 975))


def test_the_bootstrap_holds_its_level():
    held = 0
    for seed in range(40):
        wanted = torch.randn(150, 1, generator=torch.Generator().manual_seed(seed))
        predicted = wanted + torch.randn(
            150, 1, generator=torch.Generator().manual_seed(1000 + seed)
        )
        _, error = rows_of(predicted, wanted, kind="value", name="x", model="m", data="d")
        held += error.low <= (2 / torch.pi) ** 0.5 <= error.high  # the mean of |N(0, 1)|
    assert 34 <= held <= 40
