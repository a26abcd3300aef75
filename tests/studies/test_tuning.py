"""Trials choose a setting."""

from __future__ import annotations

from ssl_patches.studies import tuning


def test_the_winner_is_the_first_of_the_best_and_who_diverged_cannot_win():
    assert tuning.winner([1.0, 3.0, 3.0]) == 1
    assert tuning.winner([None, 1.0]) == 1
    assert tuning.winner([None, None]) is None
