"""Intervals hold both chances, pairs see more than intervals side by side, labels are read off."""

from math import inf

import pytest
import torch
from curves import curve, point

from ssl_patches.evaluation.efficiency.curve import (
    Curve,
    curve_point,
    difference,
    interval,
    labels_needed,
)
from ssl_patches.evaluation.metrics import resamples
from ssl_patches.evaluation.probes.lowshot import mean_row
from ssl_patches.evaluation.rows import wilson


def test_one_draw_has_wilsons_interval_and_many_test_images_leave_that_over_draws():
    mean, low, high = interval(point(None, [80.0]), metric="top1")
    assert (mean, low / 100, high / 100) == pytest.approx((80, *wilson(80, 100)))
    values = [60.0, 64.0, 71.0]
    _, low, high = interval(point(5, values), metric="map")
    row = mean_row(values, model="m", data="d", metric="x_map", n=100)
    assert (low, high) == pytest.approx((row.low, row.high))


def test_the_interval_of_both_chances_is_wider_than_either():
    values = [60.0, 64.0, 71.0]
    _, low, _ = interval(point(5, values, spread=4), metric="map")
    for other in (point(5, values), point(5, [65.0], spread=4)):
        assert low < interval(other, metric="map")[1]


def test_a_difference_is_of_pairs_and_of_itself_nothing():
    first = point(5, [60.0, 64.0, 71.0], spread=4)
    assert difference(first, first) == (0, 0, 0)
    second = point(5, [58.0, 62.0, 69.0], spread=4)
    mean, low, high = difference(first, second)
    assert mean == pytest.approx(2)
    assert low == pytest.approx(high) == pytest.approx(2)  # what moves both alike cancels
    assert difference(second, first)[1:] == pytest.approx((-high, -low))


def test_labels_are_interpolated_on_a_log_axis_and_end_with_the_curve():
    rival = curve("theirs", {1: 50.0, 100: 70.0})
    assert labels_needed(rival, 60.0) == pytest.approx(10)
    assert labels_needed(rival, 40.0) == 1
    assert labels_needed(rival, 70.0) == pytest.approx(100)
    assert labels_needed(rival, 70.1) == inf
    fallen = curve("theirs", {1: 50.0, 10: 60.0, 100: 55.0, 1000: 60.0})
    assert labels_needed(fallen, 58.0) < 10  # what was reached is kept


def test_a_row_names_labels_column_and_metric_and_stays_within_0_to_100():
    one = Curve(model="m", column="knn", metric="top1", points=[point(1, [99.0, 100.0, 95.0])])
    (row,) = one.rows(data="d")
    assert row.metric == "labels1_knn_top1"
    assert row.high == 100
    every = Curve(model="m", column="linear", metric="miou", points=[point(None, [30.0])])
    assert every.rows(data="d")[0].metric == "labelsall_linear_miou"


def test_a_point_is_made_of_draws():
    counts = next(iter(resamples(4)))
    drawn = [(torch.tensor([value]), value + 0 * counts[:, 0]) for value in (1.0, 3.0)]
    made = curve_point(5, 5.0, drawn, 4)
    assert made.mean == 2
    assert made.resampled.shape == (2, 1000)
