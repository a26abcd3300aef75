"""What the seeds say, against numbers worked out by hand and, slowly, against chance itself."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from ssl_patches.studies.compare.statistics import (
    Sample,
    all_pairs,
    family,
    higher_is_better,
    holm,
    pareto_front,
    t_interval,
    welch,
)


def test_t_interval_by_hand():
    # mean 3, s = 1, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653
    mean, low, high = t_interval([2.0, 3.0, 4.0])
    assert (mean, low, high) == pytest.approx(
        (3.0, 3 - 4.302653 / math.sqrt(3), 3 + 4.302653 / math.sqrt(3)), abs=1e-5
    )


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="at least 2"):
        t_interval([2.0])


def test_welch_by_hand():
    # variances 1 and 4 over n = 3: squared error 5/3; df = (5/3)^2 / (1/18 + 16/18) = 50/17; t = 4
    # / sqrt(5/3)
    pair = welch(Sample("a", (9.0, 10.0, 11.0)), Sample("b", (4.0, 6.0, 8.0)), metric="linear_top1")
    freedom, error = 50 / 17, math.sqrt(5 / 3)
    half = stats.t.ppf(0.975, freedom) * error
    assert (pair.first, pair.second, pair.ahead, pair.n) == ("a", "b", 4.0, (3, 3))
    assert (pair.low, pair.high, pair.p) == pytest.approx(
        (4 - half, 4 + half, 2 * stats.t.sf(4 / error, freedom))
    )


def test_welch_agrees_with_scipy_also_for_unequal_numbers_of_seeds():
    a, b = (41.0, 43.5, 42.2, 40.9), (38.0, 39.9)
    found = stats.ttest_ind(a, b, equal_var=False)
    pair = welch(Sample("a", a), Sample("b", b), metric="linear_top1")
    assert pair.p == pytest.approx(found.pvalue)
    assert (pair.low, pair.high) == pytest.approx(tuple(found.confidence_interval()))


def test_against_a_fixed_number_it_is_the_one_sample_test():
    values = (41.0, 43.5, 42.2)
    pair = welch(
        Sample("a", values), Sample("raw_pixels", (40.0,), fixed=True), metric="linear_top1"
    )
    assert pair.p == pytest.approx(stats.ttest_1samp(values, 40.0).pvalue)
    assert pair.n == (3, 0)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


SENTENCES = [
    (
        (40.0, 41.0, 42.0),
        (30.0, 31.0, 32.0),
        "a is better than b by 10.0 [7.7, 12.3] points, p < 0.001 (Holm), n = 3",
    ),
    (
        (30.0, 31.0, 32.0),
        (40.0, 41.0, 42.0),
        "b is better than a by 10.0 [7.7, 12.3] points, p < 0.001 (Holm), n = 3",
    ),
    (
        (40.0, 41.0, 42.0),
        (39.0, 41.5, 42.0),
        "a and b: no difference seen, 0.2 [-3.1, 3.4] points, p = 0.89 (Holm), n = 3",
    ),
    (
        (40.0, 41.0),
        (39.0, 41.5, 42.0),
        "b and a: no difference seen, 0.3 [-3.1, 3.8] points, p = 0.77 (Holm), n = 3 and 2",
    ),
    ((40.0,), (30.0,), "a and b: one seed: no statement (10.0 points apart)"),
    ((40.0, 41.0, 42.0), (30.0,), "a and b: one seed: no statement (11.0 points apart)"),
    (
        (40.0, 40.0),
        (30.0, 30.0),
        "a and b: all seeds agree to the last digit: no statement (10.0 points apart)",
    ),
]


@pytest.mark.parametrize(("first", "second", "sentence"), SENTENCES)
def test_a_pair_in_plain_words(first, second, sentence):
    (pair,) = all_pairs([Sample("a", first), Sample("b", second)], metric="linear_top1")
    assert pair.sentence == sentence


def test_a_smaller_error_is_better():
    (pair,) = all_pairs(
        [Sample("a", (0.9, 1.0, 1.1)), Sample("b", (0.1, 0.2, 0.3))], metric="linear_rmse"
    )
    assert pair.sentence.startswith("b is better than a by 0.8 [")
    assert [
        higher_is_better(name) for name in ("linear_top1", "miou_knn", "linear_rmse", "nll")
    ] == [True, True, False, False]


def test_the_correction_counts_all_pairs_that_were_tested_and_no_other():
    near, far, alone = (
        Sample("near", (1.0, 2.0, 3.0)),
        Sample("far", (4.0, 5.0, 6.0)),
        Sample("alone", (9.0,)),
    )
    (only,) = family([(near, far)], metric="linear_top1")
    assert only.p_holm == only.p < 0.05
    among = all_pairs([near, far, alone, Sample("other", (1.1, 2.1, 3.1))], metric="linear_top1")
    found = {(pair.first, pair.second): pair for pair in among}
    assert found["far", "near"].p_holm == pytest.approx(3 * only.p)
    assert not found["far", "near"].decided
    assert found["alone", "far"].p_holm is None


def test_pareto_front_by_hand():
    points = [(1.0, 10.0), (2.0, 20.0), (3.0, 15.0), (2.0, 19.0), (1.0, 10.0), (9.0, 20.0)]
    assert pareto_front(points) == [True, True, False, False, True, False]
    assert pareto_front([(1.0, 2.0), (2.0, 1.0), (3.0, 3.0)], higher=False) == [True, True, False]
    assert pareto_front([(100.0, 10.0), (100.5, 20.0)]) == [
        False,
        True,
    ]  # one budget, ended by a whole step
    assert pareto_front([(100.0, 10.0), (102.0, 20.0)]) == [True, True]


@pytest.mark.slow
def test_false_findings_stay_below_five_percent():
    """Five tasks that do not differ, three seeds each, unequal spread: how often does a table claim
    anything?"""
    draw, studies = random.Random(0), 2000
    claimed, uncorrected, over_images = 0, 0, 0
    for _ in range(studies):
        samples = [
            Sample(str(task), tuple(draw.gauss(40, 0.5 + 0.5 * task) for _ in range(3)))
            for task in range(5)
        ]
        pairs = all_pairs(samples, metric="linear_top1")
        claimed += any(pair.decided for pair in pairs)
        uncorrected += any(pair.p < 0.05 for pair in pairs)
        # one seed and 10,000 test images: a standard error of 0.69 points, whatever another seed
        # would have given
        over_images += any(
            abs(a.values[0] - b.values[0]) > 1.96 * 0.69 for a in samples for b in samples
        )
    tolerance = 3 * math.sqrt(0.05 * 0.95 / studies)
    assert claimed / studies <= 0.05 + tolerance
    assert uncorrected / studies > 0.1, (
        "the simulation would not see that the correction is missing"
    )
    assert over_images / studies > 0.5, "an interval over test images is no evidence about tasks"


@pytest.mark.slow
def test_the_interval_covers_the_mean_as_often_as_it_says():
    draw, trials = random.Random(1), 4000
    covered = sum(
        low <= 40 <= high
        for _, low, high in (
            t_interval([draw.gauss(40, 2) for _ in range(3)]) for _ in range(trials)
        )
    )
    assert covered / trials == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / trials))
