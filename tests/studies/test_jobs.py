"""A run has the key of what decides its numbers, and a plan is the same in another process."""

from __future__ import annotations

import dataclasses
from functools import cache

from small import SMALL

from ssl_patches.config import mixture
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.studies import design, jobs, planning


@cache
def composed(*words: str) -> dict:
    return mixture.request([*SMALL, *words], supplied=SUPPLIED, schema=PRETRAIN)


def test_the_key_is_what_decides_the_numbers_and_nothing_else():
    key = jobs.run_key(composed(), "data")
    same = [
        "run_dir=elsewhere",
        "resume=true",
        "data.num_workers=2",
        "trainer.device=cpu",
        "trainer.log_every=3",
        "logger=wandb",
    ]
    assert {jobs.run_key(composed(word), "data") for word in same} == {key}
    others = [
        "seed=1",
        "task=masked",
        "task.permutations=24",
        "sampler.gap=1",
        "optimizer.base_lr=1e-3",
        "trainer.precision=bf16",
        "budget.images=128",
        "evaluation.train_images=32",
        "data.count=128",
    ]
    changed = [jobs.run_key(composed(word), "data") for word in others]
    assert len({key, *changed, jobs.run_key(composed(), "other data")}) == len(others) + 2


def test_the_key_names_the_protocol(monkeypatch):
    before = jobs.run_key(composed(), "data")
    monkeypatch.setattr(jobs, "TRAINING", jobs.TRAINING + 1)
    assert jobs.run_key(composed(), "data") != before


def test_a_plan_survives_its_file(tiny_study, tmp_path):
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.5, "seed": 100}
    folder = tiny_study(tune=tune, supervised=True)
    plan = planning.plan(design.read_study(folder, ()), folder / "out")
    assert jobs.read_plan(plan.save()) == plan
    assert plan.save() == plan.save() != dataclasses.replace(plan, trials=[]).save()
