"""Rows and their bounds."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ssl_patches.evaluation.rows import Row, accuracy_row, table, wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.277533),  # z^2 / (n + z^2) = 3.841459 / 13.841459
        (10, 10, 0.722467, 1.0),
        (
            50,
            100,
            0.403832,
            0.596168,
        ),  # 1/2 +- z / (2 sqrt(n + z^2)) = 1/2 +- 1.959964 / (2 * 10.190263)
        (81, 263, 0.255259, 0.366163),  # Newcombe 1998, table I: 0.2553 to 0.3662
    ],
)
def test_wilson_gives_the_values_worked_out_by_hand(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bounds_stay_in_0_to_1_enclose_the_share_and_mirror(drawn):
    correct, n = drawn
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1
    assert low < high
    assert wilson(n - correct, n) == pytest.approx((1 - high, 1 - low))


def test_wilson_is_scipys_interval():
    for correct, n, level in ((0, 7, 0.95), (3, 7, 0.95), (7, 7, 0.9), (412, 10_000, 0.99)):
        found = binomtest(correct, n).proportion_ci(level, method="wilson")
        assert wilson(correct, n, level) == pytest.approx((found.low, found.high), abs=1e-12)


def test_wilson_holds_its_level_where_the_textbook_interval_does_not():
    n, p = 20, 0.05
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]

    def covered(bounds):
        return sum(weight for c, weight in enumerate(chance) if bounds(c)[0] <= p <= bounds(c)[1])

    def textbook(correct):
        share = correct / n
        half = 1.96 * math.sqrt(share * (1 - share) / n)
        return share - half, share + half

    assert covered(lambda c: wilson(c, n)) > 0.9
    assert covered(textbook) < 0.7


@pytest.mark.parametrize("numbers", [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(numbers):
    with pytest.raises(ValueError, match="0 <= correct <= n"):
        wilson(*numbers)


def test_a_row_is_in_percent_with_the_columns_of_every_result_table():
    predicted, labels = torch.tensor([1, 2, 3, 0]), torch.tensor([1, 2, 3, 4])
    row = accuracy_row(
        predicted, labels, model="trained", data="toy", metric="knn20_top1"
    ).as_dict()
    assert list(row) == ["model", "data", "metric", "value", "low", "high", "n"]
    assert (row["value"], row["n"]) == (75.0, 4)
    assert (row["low"], row["high"]) == pytest.approx([100 * bound for bound in wilson(3, 4)])


def test_the_table_is_aligned_and_shows_value_and_bounds():
    rows = [
        Row("trained", "toy", "knn20_top1", 37.71, 36.74, 38.68, 10000),
        Row("random_init", "toy", "knn20_top1", 9, 8, 10, 10000),
    ]
    head, *lines = table(
        [*rows, Row("trained", "toy", "linear_mae", 0.01234, 0.0123, 0.0124, 10000)]
    ).splitlines()
    assert re.search(
        r"knn20_top1\s+37\.7 \[36\.7, 38\.7\]\s+9\.0 \[8\.0, 10\.0\]\s+toy\s+10000", lines[0]
    )
    assert re.search(
        r"0\.01234 \[0\.0123, 0\.0124\]\s+-\s", lines[1]
    )  # its own unit, and no such row of the floor
    assert all(line[head.index("random_init") - 1] == " " for line in lines)
    assert {line.index("10000") for line in lines} == {head.rindex("n")}
