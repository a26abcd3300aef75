"""A learner says how many images it will read."""

from math import nan

from ssl_patches.evaluation.efficiency.learner import (
    FROZEN,
    SETTINGS,
    TUNED,
    Learner,
    chosen_setting,
    told_scores,
)


class Data:
    """Images of both sides, and how many of them may be read."""

    train, test = range(10), range(4)

    def __init__(self, limit_train, limit_test):
        self.limit_train, self.limit_test = limit_train, limit_test


class Inputs:
    def __init__(self, *limits):
        self.data = Data(*limits)

    def images(self):
        return self.data


class Counting(Learner):
    """One that can answer nothing."""

    numbers = draws = size = read = frozen = right = values = None
    divided = held_out_score = finetuned = None


def test_the_images_that_are_read_are_those_of_the_limits_and_never_more_than_there_are():
    for limits, count in (((None, None), 14), ((3, None), 7), ((100, 2), 12)):
        assert Counting(Inputs(*limits)).images == count


def test_a_column_is_frozen_or_tuned_and_not_both():
    assert not set(FROZEN) & set(TUNED)


def test_the_best_held_out_score_chooses_and_one_that_is_not_defined_never_does():
    first, second, third = SETTINGS[:3]
    assert chosen_setting({first: nan, second: 3.0, third: 3.0}) == second
    assert chosen_setting({first: nan, second: nan}) == first
    assert told_scores({first: 1.5}) == {"0.002, 0.75": 1.5}
