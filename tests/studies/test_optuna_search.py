"""What Optuna answers is a function of the trials before and of a seed."""

from __future__ import annotations

import pytest

from ssl_patches.studies import optuna_search
from ssl_patches.studies.optuna_search import Journal, Tried, importances, lags, propose
from ssl_patches.studies.space import Tuned

pytest.importorskip("optuna")

SPACE = (
    Tuned("lr", (), 1e-4, 1e-1, log=True),
    Tuned("depth", (), 1, 8, whole=True),
    Tuned("optimizer", ("adamw", "sgd")),
)


def tried(count: int) -> list[Tried]:
    """Trials of a toy whose best depth is 3."""
    past: list[Tried] = []
    for number in range(count):
        chosen = propose(SPACE, past, number=number, seed=7)
        value = 50.0 - 10 * abs(chosen["depth"] - 3)
        rungs = {1: value / 2}
        pruned = lags(past, rungs)
        ended = (
            Tried(number, chosen, "pruned", None, rungs, 8, 1.0)
            if pruned
            else Tried(number, chosen, "complete", value, {**rungs, 2: value * 0.75}, 32, 4.0)
        )
        past.append(ended)
    return past


def test_the_same_trials_come_again_and_values_are_those_of_the_space():
    past = tried(7)
    assert past == tried(7)
    for each in past:
        assert 1e-4 <= each.chosen["lr"] <= 1e-1
        assert each.chosen["depth"] in range(1, 9)
        assert each.chosen["optimizer"] in ("adamw", "sgd")
    assert len({each.chosen["lr"] for each in past}) == 7


def test_of_the_trials_that_reached_a_rung_the_better_half_goes_on():
    past = [Tried(at, {}, "pruned", None, {1: float(at)}) for at in range(4)]
    assert not lags([], {1: 0.0})  # the first one
    assert not lags(past, {1: 2.0})
    assert lags(past, {1: 1.0})
    whole = [Tried(at, {}, "complete", 9.0, {1: 5.0, 2: 8.0 + at}) for at in range(3)]
    assert not lags(whole, {1: 6.0, 2: 9.5})
    assert lags(whole, {1: 6.0, 2: 8.5})


def test_a_journal_gives_back_what_it_was_told_and_half_a_line_is_no_trial(tmp_path):
    past = tried(3)
    for each in past:
        journal = Journal(tmp_path, "a", SPACE)
        journal.begin(each.chosen)
        (open_now,) = journal.trials()[each.number :]
        assert (open_now.state, open_now.chosen) == ("running", each.chosen)
        journal.end(each)
        with (tmp_path / optuna_search.JOURNAL).open("ab") as file:
            file.write(b'{"op_code"')
    assert Journal(tmp_path, "a", SPACE).trials() == past


def test_importances_are_shares_and_find_what_matters():
    past = [
        Tried(at, {"lr": 1e-3 * (1 + at), "depth": 1 + at % 8, "optimizer": "sgd"}, "complete", v)
        for at, v in enumerate(50.0 - 10 * abs(at % 8 - 2) for at in range(24))
    ]
    found = importances(SPACE, past)
    assert found == importances(SPACE, past)
    assert abs(sum(found.values()) - 1) < 1e-3
    assert max(found, key=found.__getitem__) == "depth"
    assert importances(SPACE[:1], past) == importances(SPACE, past[:3]) == {}


def test_what_diverged_is_not_proposed_from_and_does_not_count_as_good():
    past = [Tried(at, {"lr": 0.05, "depth": 8, "optimizer": "sgd"}, "diverged") for at in range(5)]
    past += [
        Tried(5 + at, {"lr": 1e-3, "depth": 2, "optimizer": "adamw"}, "complete", 40.0 + at)
        for at in range(5)
    ]
    seen = [propose(SPACE, past, number=10, seed=seed) for seed in range(8)]
    assert sum(each["optimizer"] == "adamw" for each in seen) >= 5
    assert importances(SPACE, past[:5]) == {}
