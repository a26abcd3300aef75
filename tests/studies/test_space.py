"""What `tune` may choose is read from study.yaml."""

from __future__ import annotations

import re

import pytest
from small import REPOSITORY

from ssl_patches import config
from ssl_patches.config.schema import TUNE
from ssl_patches.studies import space
from ssl_patches.studies.space import Tuned


def read(**values: object) -> tuple[Tuned, ...]:
    problems: list[str] = []
    found = space.read_space(values, problems)
    assert not problems
    return found


def test_a_range_may_be_typed_in_two_ways():
    (mapped,) = read(lr={"low": 1e-3, "high": 1e-1, "log": True})
    (typed,) = read(lr="tag(log,interval(1e-3,1e-1))")
    assert mapped == typed == Tuned("lr", (), 1e-3, 1e-1, log=True)
    (whole,) = read(depth={"low": 2, "high": 8, "int": True})
    assert (whole,) == read(depth="int(interval(2,8))")


def test_hydras_syntax_gives_the_explicit_list():
    assert read(lr=[1e-3, 2e-3]) == read(lr="choice(1e-3,2e-3)") == read(lr="1e-3,2e-3")
    assert read(depth=[2, 3]) == read(depth="range(2,4)")


@pytest.mark.parametrize("share", [0.0, 1 / 3, 0.618, 1.0])
def test_numbers_stay_in_their_range_and_are_short(share):
    tuned = Tuned("lr", (), 1.23456789e-3, 1.23456789e-1)
    number = tuned.number(tuned.at(share))
    assert tuned.low <= number <= tuned.high
    assert share in (0.0, 1.0) or len(f"{number:g}".replace(".", "").strip("0")) <= space.DIGITS
    whole = Tuned("n", (), 2, 9, whole=True)
    assert isinstance(whole.number(whole.at(share)), int)


def test_lists_multiply_and_ranges_do_not():
    found = read(a=[1, 2], b={"low": 0, "high": 1}, c=["x", "y"])
    assert list(space.listed(found)) == [("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")]
    chosen = {"a": "1", "b": 0.25, "c": "y"}
    assert space.label_of(found, chosen) == "a=1 b=0.25 c=y"


def test_what_yaml_cut_is_told_with_quotes_around_it():
    import yaml

    problems: list[str] = []
    given = yaml.safe_load("{seed: range(0,3), task: [jigsaw]}")
    kept = space.cut_off(given, "axes", problems)
    assert kept == {"seed": ["?"], "task": ["jigsaw"]}
    assert problems == [
        'axes.seed=range(0: YAML cuts it at its comma between {}; put it in quotes: seed: "range(0'
        ',...)"'
    ]


def test_all_mistakes_are_told_together():
    problems: list[str] = []
    values = {
        "a": {"low": 2, "high": 1},
        "b": {"low": "x", "hihg": 1},
        "c": [],
        "d": [1, 1],
        "e": "one",
        "f": {"low": 1.5, "high": 3, "int": True},
        "g": "range(3,0)",
    }
    space.read_space(values, problems)
    keys = [problem.partition(":")[0].removeprefix("tune.values.") for problem in problems]
    assert [key[0] for key in keys] == ["a", "b", "b", "b", "c", "d", "e", "f", "g"]


def test_what_the_page_says_can_be_read(tmp_path):
    text = (REPOSITORY / "docs" / "studies.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(tune:\n.*?)```", text, flags=re.DOTALL)
    (tmp_path / "tune.yaml").write_text(block, encoding="utf-8")
    tune = config.load(tmp_path / "tune.yaml")["tune"]
    assert tune.keys() == TUNE.keys() - {"flops"}
    lr, warmup, optimizer = read(**tune["values"])
    assert (lr.low, lr.high, lr.log) == (1e-4, 1e-1, True)
    assert (warmup.low, warmup.high, warmup.whole) == (0, 0.2, False)
    assert optimizer.values == ("adamw", "sgd")
