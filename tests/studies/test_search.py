"""A search makes the same trials for every task, whatever is killed, and the runs take what won."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl_patches.config.atomic import write_json
from ssl_patches.studies import (
    design,
    jobs,
    planning,
    rungs,
    search,
    tune_section,
    tuning,
    worker,
)

pytest.importorskip("optuna")

LR = {"low": 1e-4, "high": 1e-1, "log": True}
TUNE = {"values": {"optimizer.base_lr": LR}, "share": 0.5, "seed": 9, "trials": 6}


class Killed(BaseException):
    """What no handler catches."""


def trained(kill: Callable[[str], None] = lambda _: None) -> Callable[..., None]:
    """A trial without a training: its probe likes base_lr=0.01 most. ``kill`` is told each
    moment."""

    def run_trial(job, directory, *, say, lags=None):
        kill("before")
        whole = 50 - 10 * abs(math.log10(job.cfg["optimizer"]["base_lr"]) + 2)
        values: dict[int, float] = {}
        for resource, share in rungs.SHARES.items() if lags else ():
            values[resource] = whole * (0.5 + share)
            ends = lags(values)
            before = rungs.read_rungs(directory / rungs.FILE)
            rung = {"value": values[resource], "images": 8, "pruned": ends}
            write_json(directory / rungs.FILE, {**before, str(resource): rung})
            kill("rung")
            if ends:
                tuning.end_trial(directory, {"pruned": True}, images=8, flops=10.0)
                return
        tuning.end_trial(directory, {"value": whole}, images=32, flops=10.0)
        kill("ended")

    return run_trial


@pytest.fixture
def planned(tiny_study, monkeypatch) -> Callable[..., jobs.Plan]:
    """``planned(out, trials=6)``: a study of two tasks whose trials take no time."""
    monkeypatch.setattr(search, "run_trial", trained())

    def plan(out: Path, *words: str, tasks=("jigsaw",), supervised=False, **tune) -> jobs.Plan:
        keys = {"tune": {**TUNE, **tune}, "axes": {"task": list(tasks), "seed": [0]}}
        folder = tiny_study(**keys, supervised=supervised)
        return planning.plan(design.read_study(folder, words), out)

    return plan


def searched(plan: jobs.Plan) -> list[dict]:
    for each in plan.searches:
        plan.directory(each).mkdir(parents=True, exist_ok=True)
        search.run_search(plan, each, say=lambda _: None)
        assert search.search_state(plan, each).kind == "finished"
    return [search.read_search(plan, each) for each in plan.searches]


def test_every_task_gets_the_same_trials_and_the_runs_take_what_won(planned, tmp_path):
    """The baseline with labels is tuned as they are."""
    plan = planned(tmp_path, supervised=True)
    assert {status.state.note for status in worker.job_statuses(plan)[2:]} == {
        "waits for search jigsaw",
        "waits for search supervised",
    }
    found = searched(plan)
    assert [each["name"] for each in found] == ["jigsaw", "supervised"]
    assert [len(each["trials"]) for each in found] == [6, 6]
    first = {tuple(trial["label"] for trial in each["trials"][:4]) for each in found}
    assert len(first) == 1  # drawn at random, the same for all tasks
    for each, status in zip(found, worker.job_statuses(plan)[2:], strict=True):
        whole = [trial for trial in each["trials"] if trial["state"] == "complete"]
        ended = [trial for trial in each["trials"] if trial["state"] == "pruned"]
        best = max(whole, key=lambda trial: trial["value"])
        assert each["trials"][each["best"]] == best
        assert ended
        assert {trial["images"] for trial in ended} == {8}
        assert status.job.words[-1] == best["label"]
        supervised = each["name"] == "supervised"
        assert status.job.cfg["task"]["_target_"].endswith("Supervised") == supervised
        lr = best["chosen"]["optimizer.base_lr"]
        assert status.job.cfg["optimizer"]["base_lr"] == lr
        assert jobs.read_plan(plan.save()) == plan


def test_a_searched_run_is_the_run_that_is_typed_with_what_was_chosen(
    planned, tiny_study, tmp_path
):
    """Its key and its place are those of the same value in a list."""
    plan = planned(tmp_path)
    searched(plan)
    job = worker.job_statuses(plan)[-1].job
    axes = {"task": ["jigsaw"], "seed": [0], "optimizer.base_lr": [job.cfg["optimizer"]["base_lr"]]}
    listed = planning.plan(design.read_study(tiny_study(axes=axes)), tmp_path / "other")
    assert listed.runs[0].choices[0].key == job.key
    assert listed.runs[0].choices[0].cfg == job.cfg


def test_a_search_that_is_killed_anywhere_makes_the_same_trials(planned, tmp_path, monkeypatch):
    """Half a line in the journal and Optuna's own lock are what a kill -9 may leave besides."""
    (whole,) = searched(planned(tmp_path / "whole"))
    moments: list[str] = []
    monkeypatch.setattr(search, "run_trial", trained(moments.append))
    searched(planned(tmp_path / "counted"))
    assert {"before", "rung", "ended"} == set(moments)
    plan = planned(tmp_path / "killed")
    (each,) = plan.searches
    folder = plan.directory(each)
    folder.mkdir(parents=True)
    for _ in moments:  # one moment further with every command
        left = [2]

        def kill(_: str, left=left) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed

        monkeypatch.setattr(search, "run_trial", trained(kill))
        try:
            search.run_search(plan, each, say=lambda _: None)
        except Killed:
            with (folder / "optuna.journal").open("ab") as file:
                file.write(b'{"op_code": 4, "wor')
            (folder / "optuna.journal.lock").touch()
    monkeypatch.setattr(search, "run_trial", trained())
    assert searched(plan) == [whole]


def test_more_trials_go_on_and_fewer_take_the_best_of_those(planned, tmp_path):
    (six,) = searched(planned(tmp_path))
    folders = {place.name for place in tmp_path.glob("tune/*/*/")}
    plan = planned(tmp_path, trials=3)
    assert search.search_state(plan, plan.searches[0]).kind == "stopped"
    (three,) = searched(plan)
    assert three["trials"] == six["trials"][:3]
    assert {place.name for place in tmp_path.glob("tune/*/*/")} == folders
    (eight,) = searched(planned(tmp_path, trials=8))
    assert eight["trials"][:6] == six["trials"]


def test_flops_end_a_search_before_they_are_exceeded(planned, tmp_path):
    plan = planned(tmp_path, trials=None, flops=1000.0, prune=False)
    (found,) = searched(plan)
    assert [trial["flops"] for trial in found["trials"]] == [320.0] * 3


def test_lists_are_chosen_from_where_trials_are_asked_for(planned, tmp_path):
    values = {"optimizer": ["adamw", "sgd"], "optimizer.base_lr": LR}
    plan = planned(tmp_path, values=values)
    (found,) = searched(plan)
    tried = {trial["chosen"]["optimizer"] for trial in found["trials"]}
    assert tried == {"adamw", "sgd"}
    assert set(found["importances"]) == {"optimizer", "optimizer.base_lr"}
    assert math.isclose(sum(found["importances"].values()), 1, abs_tol=1e-3)
    for trial in found["trials"]:
        job = plan.searches[0].trial(trial["chosen"])
        kind = {"adamw": "AdamW", "sgd": "SGD"}[trial["chosen"]["optimizer"]]
        assert job.cfg["optimizer"]["_target_"].endswith(kind)


def test_what_failed_or_diverged_stops_only_its_runs(planned, tmp_path, monkeypatch):
    plan = planned(tmp_path, "tune.trials=1", tasks=["jigsaw", "masked"])
    fine = trained()

    def run_trial(job, directory, **named):
        if "Masked" in json.dumps(job.cfg["task"]):
            raise ZeroDivisionError("broken")
        tuning.end_trial(directory, {"diverged": True}, images=8, flops=1.0)

    monkeypatch.setattr(search, "run_trial", run_trial)
    worker.work(plan, say=lambda _: None, wait=True)
    notes = {status.name: status.state.note for status in worker.job_statuses(plan)}
    assert notes["search masked"] == "ZeroDivisionError: broken"
    assert notes["masked-seed0"] == "search masked failed"
    assert notes["jigsaw-seed0"] == "all its trials diverged; give other tune.values"
    monkeypatch.setattr(search, "run_trial", fine)
    worker.clear_errors(plan)  # as the same command does
    searched(plan)


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"trials": 0}, "tune.trials=0: must be at least 1; give tune.trials: 8"),
        ({"trials": None, "flops": -1.0}, "tune.flops=-1.0: must be above 0"),
        ({"flops": 1e12}, "tune.trials=6, tune.flops=1000000000000.0: only one can be set"),
        ({"trials": None}, "base_lr: a range has no end of values; give tune.trials: 8 too"),
        (
            {"values": {"optimizer.base_lr": {"low": 1e-1, "high": 1e-3}}},
            "tune.values.optimizer.base_lr: low=0.1 must be below high=0.001",
        ),
        (
            {"values": {"optimizer.base_lr": {"low": 0, "high": 1, "log": True}}},
            "base_lr.low=0.0: must be above 0 on a logarithmic scale",
        ),
        ({"values": {"optimizer.base_lr": {"lo": 1, "high": 2}}}, "did you mean"),
        ({"values": {"optimizer.base_lr": {"high": 2}}}, "base_lr.low: missing"),
        ({"values": {"optimizer.base_lr": "much"}}, "base_lr=much: must be several values"),
        ({"values": {"optimizer.base_lr": "interval(2"}}, "YAML cuts it at its comma"),
        ({"values": {"task.permutations": {"low": 24, "high": 100}}}, "int: true makes a range"),
        ({"values": {"optimizer.lr": LR}}, "optimizer.lr: unknown key"),
        ({"values": {"seed": {"low": 1, "high": 9, "int": True}}}, "is set by axes.seed too"),
        ({"values": {"optimizer.base_lr": {"low": -1, "high": 1}}}, "optimizer.base_lr"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(planned, tmp_path, tune, said):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        planned(tmp_path / "out", **tune)
    assert said in str(caught.value)
    assert "is empty" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_words_about_tune_are_refused_where_nothing_is_tuned_or_there_is_no_such_key(
    planned, tiny_study, tmp_path
):
    with pytest.raises(ValueError, match=r"tune.trial: unknown key; did you mean 'tune.trials'"):
        planned(tmp_path, "tune.trial=1")
    with pytest.raises(ValueError, match=r"tune.trials=1: the study tunes nothing; add tune:"):
        design.read_study(tiny_study(), ["tune.trials=1"])


def test_without_optuna_the_refusal_says_what_to_install(planned, tmp_path, monkeypatch):
    monkeypatch.setattr(tune_section.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs optuna; pip install 'ssl-patches\[tune\]'"):
        planned(tmp_path, trials=4)
