"""What stands for several values is read by Hydra's own grammar."""

from __future__ import annotations

import pytest

from ssl_patches import config
from ssl_patches.config.sweeps import Interval, parse_override, read_sweep, respelled
from ssl_patches.config.words import spelled


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("range(0,3)", [0, 1, 2]),
        ("range(0,1,0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("choice(1e-3,2e-3)", [1e-3, 2e-3]),
        ("1e-3,2e-3", [1e-3, 2e-3]),
        ("sort(3,1,2)", [1, 2, 3]),
        ("tag(lr,choice(1,2))", [1, 2]),
        ("choice('x y','b,c')", ["x y", "b,c"]),
        ("choice([1,2],[3])", [[1, 2], [3]]),
        ("true,null,a", [True, None, "a"]),
    ],
)
def test_a_sweep_is_the_explicit_list(typed, values):
    found = read_sweep(f"key={typed}")
    assert [respelled(value) for value in found] == [spelled(value) for value in values]


def test_a_glob_names_files_of_its_group():
    found = read_sweep("task=glob(*,exclude=[a*,s*])")
    assert {"jigsaw", "masked", "position"} <= set(found)
    assert not any(name[0] in "as" for name in found)


def test_an_interval_keeps_its_scale_and_kind():
    assert read_sweep("a=interval(0,1)") == Interval(0.0, 1.0)
    assert read_sweep("a=tag(log,interval(1e-3,1e-1))") == Interval(1e-3, 1e-1, log=True)
    assert read_sweep("a=int(interval(1,8))") == Interval(1, 8, whole=True)


@pytest.mark.parametrize("text", ["a=1", "a=[1,2]", "a='b,c'", "a=sort([3,1])", "==", "a"])
def test_what_is_no_sweep_is_left_alone(text):
    assert read_sweep(text) is None


@pytest.mark.parametrize("text", ["a=1,", "a=interval(0.1)"])
def test_what_hydra_cannot_read_is_none_and_a_request_with_it_is_refused(text):
    assert parse_override(text) is None
    with pytest.raises(ValueError, match="cannot be read"):
        config.compose("pretrain", [text])


def test_all_sweeps_without_values_are_told_together():
    words = ["a=interval(0,1)", "task=glob(zzz*)", "seed=range(3,0)", "seed=glob(*)"]
    words.append("seed=range(0,3),7")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        config.sweeps(words)
    told = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == words
    assert "names no single values" in told[0]
    assert "fits none of: agree" in told[1]
    assert "is for groups" in told[3]
    assert "a sweep within a sweep" in told[4]
