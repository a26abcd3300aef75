"""A plain configuration is checked against constructors, completely, before anything is built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import HERE, problems, puzzle

from ssl_patches.config.check import LARGEST_SIDE, SIDES, check
from ssl_patches.config.instantiate import build
from ssl_patches.config.messages import shown


def of_task(**knobs: Any) -> list[str]:
    return problems({"task": puzzle(**knobs)}, supplied={"task": {"dim"}})


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"permutations": 5, "ratio": 1, "flip": True, "mode": "cell"},
        {"sizes": [3, 4], "scales": [1, 0.5], "where": "a/b", "positive": 2},
        {
            "scales": None,
            "where": None,
            "live": None,
            "call": None,
            "options": {"a": [1, {"b": None}]},
        },
    ],
)
def test_good_values_pass_unchanged(knobs):
    cfg = {"task": puzzle(**knobs)}
    assert check(cfg, supplied={"task": {"dim"}}) == cfg


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("permutations", "abc", "must be a whole number"),
        ("permutations", "5", "without quotes"),
        ("permutations", True, "must be a whole number"),
        ("permutations", 1.5, "must be a whole number"),
        ("permutations", None, "must be a whole number"),
        ("ratio", "0.5", "must be a number"),
        ("ratio", True, "must be a number"),
        ("flip", 1, "must be true or false"),
        ("mode", "cel", "did you mean task.mode=cell?"),
        ("sizes", [1, 2, 3], "must be a list of 2"),
        ("scales", [1, "a"], "must be a list, each a number or null"),
        ("where", 3, "quote it"),
        ("live", "drop", "the _target_ of a Live"),
        ("call", "print", "must be"),
        ("positive", 0, "greater than 0"),
        ("options", 3, "must be a mapping"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_key_value_and_rule(name, value, rule):
    (problem,) = of_task(**{name: value})
    assert problem.startswith(f"task.{name}={shown(value)}: must be")
    assert rule in problem
    assert "; " in problem
    assert "\n" not in problem


def test_a_whole_float_becomes_the_whole_number_that_was_meant():
    checked = check({"task": puzzle(permutations=1e3, ratio=2.0)}, supplied={"task": {"dim"}})
    assert checked["task"]["permutations"] == 1000
    assert type(checked["task"]["permutations"]) is int
    assert type(checked["task"]["ratio"]) is float


@given(st.integers(0, 10**15))
def test_every_whole_number_may_be_written_as_a_float(number):
    assert check({"n": float(number)}, schema={"n": int}) == {"n": number}


def test_a_misspelt_key_is_answered_with_the_nearest_and_its_path():
    assert of_task(permutation=3) == [
        "task.permutation: unknown key of Puzzle; did you mean 'task.permutations'?"
    ]


def test_all_problems_are_listed_together_and_good_keys_are_not():
    cfg = {
        "seed": "x",
        "task": puzzle(flp=True, ratio="a", mode="row"),
        "data": {"_target_": f"{HERE}.Folder"},
    }
    found = problems(cfg, supplied={"task": {"dim"}}, schema={"seed": int, "budget": dict})
    assert [problem.split(":")[0] for problem in found] == [
        "seed=x", "task.flp", "task.ratio=a", "data.root", "budget",
    ]  # fmt: skip


def test_a_missing_value_is_answered_with_what_to_give():
    for node in ({}, {"root": "???"}):
        assert problems({"data": {"_target_": f"{HERE}.Folder", **node}}) == [
            "data.root: missing; give data.root=DIR"
        ]


def test_a_required_argument_is_missing_unless_the_program_supplies_it_at_that_path():
    assert problems({"task": puzzle()}) == ["task.dim: missing; give task.dim=1"]
    assert problems({"task": puzzle()}, supplied={"other": {"dim"}}) == [
        "task.dim: missing; give task.dim=1"
    ]
    check({"parts": [{"task": puzzle()}]}, supplied={"parts.*.task": {"dim"}})


def test_what_the_program_supplies_cannot_be_set():
    assert of_task(dim=3) == ["task.dim=3: is derived by the program; take it out"]


def test_nodes_in_lists_and_mappings_are_checked_under_their_own_path():
    inner = {"_target_": f"{HERE}.Folder", "rot": "x", "root": "y"}
    cfg = {"data": {"_target_": f"{HERE}.Folder", "root": "x", "transform": [1, {"deep": inner}]}}
    (problem,) = problems(cfg)
    assert problem.startswith("data.transform.1.deep.rot: unknown key of Folder")


def test_a_node_may_stand_for_a_live_object():
    check({"task": puzzle(live={"_target_": f"{HERE}.Live"})}, supplied={"task": {"dim"}})


def test_constructors_that_take_anything_get_anything_but_known_knobs_are_checked():
    check({"a": {"_target_": f"{HERE}.Anything", "x": [1], "y": "z"}})
    assert problems({"a": {"_target_": f"{HERE}.Anything", "size": "x"}})[0].startswith(
        "a.size=x: must be a whole"
    )


def test_one_annotation_that_cannot_be_evaluated_leaves_the_others_checked():
    check({"a": {"_target_": f"{HERE}.Haunted", "ghost": "boo"}})
    assert len(problems({"a": {"_target_": f"{HERE}.Haunted", "ghost": "boo", "size": "x"}})) == 1


def test_other_words_of_hydra_are_refused_not_ignored():
    assert of_task(_partial_=True) == [
        "task._partial_=true: only _target_ is supported; take it out"
    ]
    with pytest.raises(ValueError, match="_partial_=true: only _target_"):
        build(puzzle(_partial_=True), dim=1)


SCHEMA = {
    "seed": int,
    "resume": bool,
    "run_dir": str | None,
    "budget": {"images": int | None, "seconds": float | None},
}
GOOD = {"seed": 0, "resume": False, "run_dir": None, "budget": {"images": None, "seconds": 3}}


def test_the_fixed_part_passes_and_groups_need_not_be_listed():
    cfg = GOOD | {"task": puzzle(), "callbacks": {"a": {"_target_": f"{HERE}.Live"}}}
    assert check(cfg, schema=SCHEMA, supplied={"task": {"dim"}}) == cfg


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sed": 1}, "sed: unknown key; did you mean 'seed'?"),
        ({"tsk": {"x": 1}}, "tsk: unknown key; choose among: budget, resume, run_dir, seed"),
        ({"seed": "abc"}, "seed=abc: must be a whole number; set seed=1"),
        ({"run_dir": 2024}, "run_dir=2024: must be text or null; quote it: 'run_dir=\"2024\"'"),
        (
            {"budget": 5},
            "budget=5: must hold keys (images, seconds); set one, such as budget.images=VALUE",
        ),
        ({"budget": {"image": 5}}, "budget.image: unknown key; did you mean 'budget.images'?"),
        (
            {"budget": {"images": "many"}},
            "budget.images=many: must be a whole number or null; set budget.images=1",
        ),
    ],
)
def test_the_fixed_part_is_checked_against_the_schema(change, problem):
    assert problem in problems(GOOD | change, schema=SCHEMA)


def test_a_key_of_the_schema_that_was_deleted_is_missing():
    assert problems({key: GOOD[key] for key in GOOD if key != "seed"}, schema=SCHEMA) == [
        "seed: missing; give seed=1"
    ]


@pytest.mark.parametrize(
    ("knobs", "rule"),
    [
        ({"ratio": float("nan")}, "must be a finite number"),
        ({"ratio": float("inf")}, "must be a finite number"),
        ({"scales": [1.0, float("nan")]}, "must be a finite number"),
        ({"options": {"a": [{"b": -float("inf")}]}}, "must be a finite number"),
        ({"permutations": 10**20}, "must be a whole number"),
        ({"where": "x" * 3000}, "must be at most 2000 characters"),
    ],
)
def test_what_no_setting_can_be_is_refused_wherever_it_stands(knobs, rule):
    (problem,) = of_task(**knobs)
    assert problem.startswith(f"task.{next(iter(knobs))}")
    assert rule in problem


@pytest.mark.parametrize("key", SIDES)
@pytest.mark.parametrize("side", [LARGEST_SIDE + 1, 1e9, 10**15])
def test_no_side_in_pixels_is_larger_than_an_image_may_be(key, side):
    (problem,) = problems({key: side}, schema={key: int})
    assert problem.startswith(f"{key}={shown(side)}: must be a side of at most 16,384 px; set")
    assert check({key: LARGEST_SIDE}, schema={key: int}) == {key: LARGEST_SIDE}
