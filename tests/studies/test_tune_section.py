"""`tune:` of a study and the words that change it."""

from __future__ import annotations

import pytest

from ssl_patches.studies.tune_section import above_zero, read_tuning, retuned

GIVEN = {"trials": None, "flops": None, "prune": True, "share": 0.2, "seed": 9}


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "much", ""])
def test_what_is_no_amount_is_none(text):
    assert above_zero(text) is None
    assert above_zero("1e9") == 1e9


def test_words_change_tune_and_the_others_are_handed_on():
    problems: list[str] = []
    others, tune = retuned(["tune.trials=4", "seed=1"], {"share": 0.2}, problems)
    assert (others, tune, problems) == (["seed=1"], {"share": 0.2, "trials": 4.0}, [])


def test_words_about_tune_are_refused_where_nothing_is_tuned():
    problems: list[str] = []
    others, tune = retuned(["tune.trials=4", "seed=1"], None, problems)
    assert (others, tune) == (["seed=1"], None)
    assert problems == ["tune.trials=4: the study tunes nothing; add tune: to its YAML"]


def test_lists_are_a_grid_with_a_trial_for_each_combination():
    given = {**GIVEN, "values": {"optimizer.base_lr": [1, 2], "optimizer.clip": [0, 1]}}
    problems: list[str] = []
    tuning = read_tuning(given, problems, ())
    assert problems == []
    assert tuning is not None
    assert len({value.words for value in tuning.trials}) == len(tuning.trials) == 4
    assert tuning.space == ()


def test_a_range_without_a_number_of_trials_is_refused_by_its_key():
    problems: list[str] = []
    read_tuning({**GIVEN, "values": {"optimizer.base_lr": {"low": 1, "high": 2}}}, problems, ())
    (told,) = problems
    assert told.startswith("tune.values.optimizer.base_lr: a range has no end of values")


def test_trials_are_counted_or_paid_for_and_not_both():
    problems: list[str] = []
    values = {"values": {"optimizer.base_lr": [1, 2]}}
    read_tuning({**GIVEN, **values, "trials": 4, "flops": 1e9}, problems, ())
    assert any("only one can be set" in told for told in problems)


def test_a_study_that_tunes_nothing_has_no_tuning():
    assert read_tuning(None, [], ()) is None
