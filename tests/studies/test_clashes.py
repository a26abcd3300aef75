"""What cannot be meant in a study is told, and what can be meant is not."""

from __future__ import annotations

from ssl_patches.studies.clashes import clashes
from ssl_patches.studies.records import Design, Tuning, Value


def values(key: str, *labels: str) -> dict[str, tuple[Value, ...]]:
    return {key: tuple(Value(label, (f"{key}={label}",)) for label in labels)}


TRIED = Tuning((Value("", ("optimizer.base_lr=1",)),), share=0.2, seed=9)
GOOD = Design("s", ("data=folder",), values("seed", "0", "1"), ("flops", 1e9), tuning=TRIED)


def test_a_study_that_can_be_meant_has_no_clash():
    assert clashes(GOOD) == []


def test_each_clash_names_its_key_and_remedy():
    twice = Design("s", ("seed=1",), {**values("seed", "0", "0"), "task": ()}, ("flops", 1e9))
    assert clashes(twice) == [
        "axes.seed: 0 stands there twice",
        "axes.seed: seed is set by base too; take one of them out",
        "axes.task: is empty; give it a value, or take it out",
    ]


def test_a_budget_is_set_once():
    (told,) = clashes(Design("s", ("budget.images=5",), {}, ("flops", 1e9)))
    assert told.startswith("budget.flops: budget.images is set by base too")


def test_what_is_tuned_is_no_axis_and_has_a_seed_of_its_own():
    tuning = Tuning((Value("", ("seed=3",)),), share=2.0, seed=1)
    told = clashes(Design("s", (), values("seed", "0", "1"), ("flops", 1e9), tuning=tuning))
    assert [line.partition(":")[0].partition("=")[0] for line in told] == [
        "tune.values.seed",
        "tune.share",
        "tune.seed",
    ]
