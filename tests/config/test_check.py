"""A plain configuration is checked against constructors, completely, before anything is built."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ssl_patches.config.check import check
from ssl_patches.config.instantiate import build
from ssl_patches.config.messages import BadRequest, nearest, shown

if TYPE_CHECKING:
    from nowhere import Ghost  # an annotation that cannot be evaluated

HERE = __name__


class Live:
    pass


class Puzzle:
    def __init__(
        self,
        *,
        dim: int,
        permutations: int = 30,
        ratio: float = 0.5,
        flip: bool = False,
        mode: Literal["row", "cell"] = "row",
        sizes: tuple[int, int] = (1, 2),
        scales: list[float] | None = None,
        where: Path | None = None,
        live: Live | None = None,
        call: Callable[[int], int] | None = None,
        positive: Annotated[int, Field(gt=0)] = 1,
        options: dict[str, Any] | None = None,
    ) -> None:
        if permutations > 1000:
            raise ValueError(
                f"task.permutations={permutations}: must be at most 1000; set"
                " task.permutations=1000"
            )
        self.dim, self.permutations, self.options, self.live = dim, permutations, options, live


class Folder:
    def __init__(self, *, root: str, transform: Any = None) -> None:
        self.root, self.transform = root, transform


class Anything:
    def __init__(self, *, size: int = 1, **others: Any) -> None:
        self.others = others


class Haunted:
    def __init__(self, *, ghost: Ghost = None, size: int = 1) -> None:
        pass


def puzzle(**knobs: Any) -> dict[str, Any]:
    return {"_target_": f"{HERE}.Puzzle", **knobs}


def problems(cfg: dict[str, Any], **rules: Any) -> list[str]:
    with pytest.raises(BadRequest) as caught:
        check(cfg, **rules)
    return caught.value.problems


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


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        (f"{HERE}.Puzle", "did you mean 'Puzzle'?"),
        ("no_such_package.Thing", "no module 'no_such_package' is installed"),
        ("ssl_patches.conifg.check", "did you mean 'config'?"),
        ("Puzzle", "must be a dotted path"),
        (3, "must be a dotted path"),
        (f"{HERE}.HERE", "must name a class or a function"),
    ],
)
def test_a_target_that_is_not_there_is_said(target, remedy):
    (problem,) = problems({"task": {"_target_": target, "x": 1}})
    assert problem.startswith(f"task._target_={target}: ")
    assert remedy in problem


def test_a_module_that_needs_what_is_not_installed_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "needy_toy.py").write_text("import surely_not_installed\nclass A: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = problems({"a": {"_target_": "needy_toy.A"}})
    assert "needs 'surely_not_installed'; install it" in problem


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


def test_build_builds_inner_nodes_first_and_adds_what_is_supplied():
    inner = {"_target_": f"{HERE}.Folder", "root": "x"}
    built = build(puzzle(options={"a": [inner]}, live={"_target_": f"{HERE}.Live"}), dim=7)
    assert (built.dim, built.permutations, type(built.live)) == (7, 30, Live)
    assert built.options["a"][0].root == "x"


def test_build_gives_the_constructor_containers_of_its_own():
    node = puzzle(options={"a": [1]})
    build(node, dim=1).options["a"].append(2)
    assert node["options"] == {"a": [1]}


def test_a_constructors_own_refusal_passes_through_unchanged():
    with pytest.raises(
        ValueError,
        match=r"^task.permutations=2000: must be at most 1000; set task.permutations=1000$",
    ):
        build(puzzle(permutations=2000), dim=1)


def test_build_refuses_a_knob_that_the_program_supplies():
    with pytest.raises(ValueError, match="dim=3: is derived"):
        build(puzzle(dim=3), dim=1)


ALLOWED = ("ssl_patches.",)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "ssl_patches_evil.Thing",
        "ssl_patches.config.atomic.os.system",  # reached through a module that merely imports it
        "ssl_patches.config.instantiate.importlib.import_module",
        "ssl_patches.config.messages.Path",
    ],
)
def test_targets_from_elsewhere_are_refused_by_check_and_build_when_packages_are_named(
    target, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ssl_patches_evil", types.SimpleNamespace(Thing=Live))
    with pytest.raises(ValueError, match="is not from an allowed package; allowed: ssl_patches"):
        build({"_target_": target}, allowed=ALLOWED)
    assert (
        "is not from an allowed package"
        in problems({"a": {"_target_": target}}, allowed=ALLOWED)[0]
    )


def test_inner_nodes_from_elsewhere_are_refused_too_and_our_own_are_built():
    ours = "ssl_patches.config.check.BadRequest"
    assert isinstance(build({"_target_": ours, "problems": ["x"]}, allowed=ALLOWED), BadRequest)
    with pytest.raises(ValueError, match="allowed package"):
        build({"_target_": ours, "problems": [{"_target_": "os.getcwd"}]}, allowed=ALLOWED)


def test_a_refused_module_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "bomb_toy.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="allowed package"):
        build({"_target_": "bomb_toy.A"}, allowed=ALLOWED)
    with pytest.raises(SystemExit):  # the bomb is live
        build({"_target_": "bomb_toy.A"})


def test_one_line_per_problem():
    error = BadRequest(["a: b; c", "d: e; f"])
    assert str(error) == "a: b; c\nd: e; f"
    assert isinstance(error, ValueError)


def test_nearest_ignores_case_completes_beginnings_and_lists_what_there_is():
    assert nearest("JIGSAW", ["jigsaw", "masked"]) == "did you mean 'jigsaw'?"
    assert nearest("perm", ["permutations", "ratio"]) == "did you mean 'permutations'?"
    assert nearest("zzz", ["b", "a"]) == "choose among: a, b"


@given(st.one_of(st.integers(), st.booleans(), st.none(), st.text(), st.floats(allow_nan=False)))
def test_a_shown_value_is_one_short_line_and_text_is_never_mistaken_for_something_else(value):
    text = shown(value)
    assert len(text) <= 80
    assert "\n" not in text
    if isinstance(value, str) and len(text) < 80:
        assert text == value or json.loads(text) == value
        assert text not in ("true", "null", "3")
