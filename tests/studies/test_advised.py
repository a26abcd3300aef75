"""Runs of a sweep are what ``pretrain`` does with the same words, also in what it chooses."""

from __future__ import annotations

import shlex
from pathlib import Path

from ssl_patches.studies import design, planning
from ssl_patches.studies.advised import Advice
from ssl_patches.studies.jobs import Job
from ssl_patches.training.request import request_run


def jobs_of(out: Path, *words: str, advice: Advice | None) -> list[Job]:
    asked = design.sweep(words, name="sweep")
    plan = planning.plan(asked, out, below=".", advice=advice)
    return [job for run in plan.runs for job in run.choices]


WORDS = ("task=jigsaw,agree", "seed=0,1", "data=folder", "budget.images=64")
PLAIN = ("data.batch_size=8",)  # as few as there are images


def test_each_run_is_that_of_pretrain(small_photographs: Path, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, *WORDS, f"data.root={small_photographs}", advice=Advice())
    assert len(jobs) == 4
    for job in jobs:
        task, seed = job.name.split("-seed")
        words = [f"task={task}", f"seed={seed}", *WORDS[2:], f"data.root={small_photographs}"]
        only = [f"budget.{key}=null" for key in ("epochs", "flops", "seconds")]
        assert job.cfg == request_run([*words, *only], config_dirs=())[0]
        shown = shlex.split(job.command)[2:]
        assert request_run(shown, config_dirs=())[0] == job.cfg  # what is shown does the same


def test_what_is_chosen_is_said_once_for_all_that_have_it(
    small_photographs: Path, tmp_path: Path
) -> None:
    advice, said = Advice(), []
    jobs_of(tmp_path, *WORDS, f"data.root={small_photographs}", advice=advice)
    advice.tell(said.append)
    assert [line.partition(" on these")[0] for line in said] == [
        "chosen for jigsaw-seed0, jigsaw-seed1",
        "chosen for agree-seed0, agree-seed1",
    ]
    assert "encoder=vit_tiny_6" in said[0]


def test_a_sweep_that_was_begun_without_goes_on_without(
    small_photographs: Path, tmp_path: Path
) -> None:
    words = (*WORDS, *PLAIN, f"data.root={small_photographs}")
    before = jobs_of(tmp_path, *words, advice=None)
    Path(tmp_path, before[0].place).mkdir()
    now = jobs_of(tmp_path, *words, advice=Advice())
    assert now[0] == before[0]
    assert now[1].key != before[1].key


def test_other_images_are_taken_as_they_come(tmp_path: Path) -> None:
    advice, said = Advice(), []
    words = ("seed=0,1", "budget.images=64", "budget.epochs=null", "data.batch_size=16")
    jobs_of(tmp_path, *words, advice=advice)
    advice.tell(said.append)
    assert said == []
