"""What a study asks for, from study.yaml and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches import config
from ssl_patches.config.words import spelled
from ssl_patches.studies import design, jobs, planning


def planned(folder: Path, *words: str) -> jobs.Plan:
    return planning.plan(design.read_study(folder, words), folder / "out")


def test_words_replace_values_of_axes_and_the_budget_and_add_axes(tiny_study):
    plan = planned(tiny_study(), "seed=range(5,7)", "views=none,crop_flip", "budget.images=32")
    assert [run.name for run in plan.runs] == [
        f"jigsaw-seed{seed}-{views}" for seed in (5, 6) for views in ("none", "crop_flip")
    ]
    assert {run.choices[0].cfg["budget"]["images"] for run in plan.runs} == {32}


@pytest.mark.parametrize("share", [1, 0.5])
def test_a_budget_is_typed_as_study_yaml_says_it(tiny_study, share):
    folder = tiny_study(budget={"images": 32})
    found = design.read_study(folder, ["budget=1e9"])
    assert found == design.read_study(tiny_study(budget=1e9))
    assert design.budget_words(found, share) == design.budget_words(
        design.read_study(tiny_study(budget={"flops": 1e9})), share
    )


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "inf", "much"])
def test_a_budget_that_is_no_amount_is_refused(tiny_study, amount):
    with pytest.raises(ValueError, match=r"budget"):
        planned(tiny_study(), f"budget={amount}")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return getattr(value, "text", value)


def test_values_of_yaml_are_spelled_so_that_hydra_reads_them_back():
    values = {
        "a": 1,
        "b": 1e-5,
        "c": True,
        "d": None,
        "e": "plain",
        "f": "two words",
        "g": 'say "a\\"',
        "h": "true",
        "i": "1e3",
        "j": [1, "x y", [None]],
        "k": {"depth": 2, "inner": {"name": "é, {b}: [c]"}},
        "l": "",
        "m": "jigsaw+masked",
        "n": "end\\",
        "o": "a=b,c",
    }
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    for value in values.values():
        parsed = parser.parse_override(f"key={spelled(value)}")
        found = parsed.value()
        assert _plain(found) == value, spelled(value)


def test_sweeps_are_read_by_hydras_own_grammar():
    found = config.sweeps(
        [
            "task=glob(*,exclude=rel*)",
            "seed=range(0,3)",
            "a.b=1e-3,2e-3",
            "x='a,b'",
            "y=[1,2]",
            "==",
        ]
    )
    assert found == [
        ("task", ["agree", "jigsaw", "masked", "position", "subsets"]),
        ("seed", ["0", "1", "2"]),
        ("a.b", ["0.001", "0.002"]),
        ("x='a,b'", None),
        ("y=[1,2]", None),
        ("==", None),
    ]
    with pytest.raises(ValueError, match="names no single values"):
        config.sweeps(["a=interval(0,1)"])


def test_axes_in_hydras_syntax_are_the_explicit_lists(tiny_study):
    values = {
        "task": ("glob(*,exclude=[agree,rel*,s*])", ["jigsaw", "masked", "position"]),
        "seed": ("range(0,3)", [0, 1, 2]),
        "optimizer.base_lr": ("choice(1e-3,2e-3)", [1e-3, 2e-3]),
        "sampler.gap": ("0,1", [0, 1]),
    }
    typed, listed = (
        design.read_study(tiny_study(axes={key: pair[way] for key, pair in values.items()}))
        for way in (0, 1)
    )
    assert typed == listed


def test_all_axes_without_single_values_are_told_together(tiny_study):
    axes = {"optimizer.base_lr": "interval(0,1)", "task": "jigsaw", "seed": "range(3,0)"}
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        design.read_study(tiny_study(axes={**axes, "image_size": []}))
    told = str(caught.value)
    for said in (
        "an interval has no end of values, and an axis needs each",
        "axes.task=jigsaw: must be a list, or several values in Hydra's grammar",
        "axes.seed=range(3,0): stands for no value",
        "axes.image_size: is empty",
    ):
        assert said in told
    assert len(told.splitlines()) == 4
