"""A learner says how many images it will read."""

from ssl_patches.evaluation.efficiency.learner import FROZEN, TUNED, Learner


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


def test_the_images_that_are_read_are_those_of_the_limits_and_never_more_than_there_are():
    for limits, count in (((None, None), 14), ((3, None), 7), ((100, 2), 12)):
        assert Counting(Inputs(*limits)).images == count


def test_a_column_is_frozen_or_tuned_and_not_both():
    assert not set(FROZEN) & set(TUNED)
