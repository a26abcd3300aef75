"""A class is found by its path and built from plain settings, of allowed ones only."""

from __future__ import annotations

import sys
import types

import pytest
from toys import HERE, Live, problems, puzzle

from ssl_patches.config.instantiate import build
from ssl_patches.config.messages import BadRequest


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


ALLOWED = ("ssl_patches.config.BadRequest",)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "ssl_patches_evil.Thing",
        "ssl_patches.config.atomic.os.system",  # reached through a module that merely imports it
        "ssl_patches.config.instantiate.importlib.import_module",
        "ssl_patches.config.messages.Path",
        "ssl_patches.config.atomic.write_text",  # ours, and not named
        "ssl_patches.config.BadRequest.with_traceback",
        "ssl_patches.config.messages.BadRequest.with_traceback",
    ],
)
def test_targets_from_elsewhere_are_refused_by_check_and_build_when_some_are_named(
    target, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ssl_patches_evil", types.SimpleNamespace(Thing=Live))
    with pytest.raises(ValueError, match="is not among what a configuration from elsewhere"):
        build({"_target_": target}, allowed=ALLOWED)
    assert (
        "is not among what a configuration from elsewhere may name"
        in problems({"a": {"_target_": target}}, allowed=ALLOWED)[0]
    )


def test_inner_nodes_from_elsewhere_are_refused_too_and_our_own_are_built():
    ours = "ssl_patches.config.messages.BadRequest"  # where the one that is allowed is defined
    assert isinstance(build({"_target_": ours, "problems": ["x"]}, allowed=ALLOWED), BadRequest)
    with pytest.raises(ValueError, match="is not among"):
        build({"_target_": ours, "problems": [{"_target_": "os.getcwd"}]}, allowed=ALLOWED)


def test_a_refused_module_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "bomb_toy.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="is not among"):
        build({"_target_": "bomb_toy.A"}, allowed=ALLOWED)
    with pytest.raises(SystemExit):  # the bomb is live
        build({"_target_": "bomb_toy.A"})


def test_a_constructor_that_does_not_take_what_it_is_given_is_refused_by_name():
    with pytest.raises(ValueError, match=r"_target_=fractions.Fraction: .* image_size"):
        build({"_target_": "fractions.Fraction"}, image_size=8)
