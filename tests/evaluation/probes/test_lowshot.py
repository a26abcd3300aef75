"""Draws of few labelled images, and the interval over them."""

import pytest
import torch

from ssl_patches.evaluation.probes.lowshot import mean_row, samples


def test_low_shot_draws_are_balanced_differ_and_leave_out_what_would_be_all_of_train():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 3)
    drawn = samples(labels, kind="class", per_class=[1, 5, 60], shares=[0.1], draws=5)
    assert list(drawn) == ["lowshot1", "lowshot5", "lowshot10pct"]  # 60 of each is everything
    assert [labels[some].bincount().tolist() for some in drawn["lowshot5"]] == [[5, 5, 3]] * 5
    assert [labels[some].bincount().tolist() for some in drawn["lowshot10pct"]] == [[6, 3, 1]] * 5
    assert len({tuple(some.tolist()) for some in drawn["lowshot5"]}) == 5
    values = samples(torch.rand(50, 1), kind="value", per_class=[1, 5], shares=[0.1], draws=5)
    assert [len(some) for some in values["lowshot10pct"]] == [5] * 5
    assert len(values) == 1


def test_the_interval_over_draws_is_students():
    row = mean_row([50, 52, 54, 56, 58], model="m", data="d", metric="lowshot1_top1", n=9)
    half = 2.776445 * 3.162278 / 5**0.5  # t of 4 degrees of freedom, deviation of the five
    assert (row.value, row.low, row.high) == pytest.approx((54, 54 - half, 54 + half))
    assert mean_row([99, 100, 98], model="m", data="d", metric="lowshot1_top1", n=9).high == 100
