"""What is filled in is what composing gives, to the letter, whatever came before."""

from __future__ import annotations

import json
import re

import pytest
from small import SMALL

from ssl_patches.studies import compositions, design, planning
from ssl_patches.studies.compositions import Compositions, with_budget_as_before

BASE = [word for word in SMALL if not word.startswith("budget.")]


def to_the_letter(cfg):
    return json.dumps(cfg, sort_keys=True)


@pytest.mark.parametrize(
    "budgets",
    [
        ["images=64", "images=128"],
        ["images=64", "images=1e2", "images=128."],
        ["flops=1e9", "flops=3e8", "flops=2.5e8", "flops=1000000000"],
        ["epochs=2", "epochs=0.5", "epochs=1.5", "epochs=2.0"],
        ["seconds=null", "seconds=9", "seconds=8.5"],
    ],
)
def test_each_is_what_it_is_alone(budgets):
    together = Compositions(())
    for seed, budget in enumerate([*budgets, *budgets]):
        words = [*BASE, "budget.epochs=null", f"seed={seed}", f"budget.{budget}"]
        alone = Compositions(())(words)
        assert to_the_letter(together(words)) == to_the_letter(alone)


def test_a_study_is_the_same_with_nothing_filled_in(tiny_study, monkeypatch):
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.3, "seed": 100}
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [1, 2]}, tune=tune, budget=1e9)
    quick = planning.plan(design.read_study(folder, []), folder / "out")
    monkeypatch.setattr(compositions, "PLAIN", re.compile("nothing"))
    assert planning.plan(design.read_study(folder, []), folder / "out") == quick


def test_the_key_of_a_run_is_its_own_whatever_is_asked_beside_it(tmp_path):
    def keys(*seeds: int) -> dict[str, str]:
        words = [*BASE, "budget.images=64", "task=jigsaw,masked"]
        asked = design.sweep([*words, f"seed={','.join(map(str, seeds))}"], name="s")
        jobs = [job for run in planning.plan(asked, tmp_path).runs for job in run.choices]
        return {job.name: job.key for job in jobs}

    both, others = keys(0, 1), keys(1, 2)
    assert {both[name] == others[name] for name in both if name in others} == {True}
    assert both.keys() & others.keys()


def test_amounts_as_before_are_equal_and_spelled_otherwise():
    cfg = {"budget": {"images": 64, "flops": None}, "seed": 0}
    before = with_budget_as_before(cfg)
    assert before == cfg
    assert to_the_letter(before) != to_the_letter(cfg)
