"""Jobs of a study on machines that share no disk go on from what the store has of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ssl_patches.config import locks
from ssl_patches.config.atomic import write_json
from ssl_patches.config.run_dir import LAST
from ssl_patches.studies import design, mirrored, planning
from ssl_patches.studies.jobs import Plan
from ssl_patches.studies.mirror import states
from ssl_patches.studies.mirrored import exchange, fetch, folder_of_task, log_of, work_mirrored
from ssl_patches.studies.object_store import ObjectStore
from ssl_patches.studies.ray_tasks import run_one
from ssl_patches.studies.worker import job_statuses, work_on

pytest.importorskip("fsspec", reason="needs ssl-patches[shards]")
Work = Callable[[Path], None]


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(f"memory://{tmp_path}/store")


@pytest.fixture
def plan(tiny_study, tmp_path) -> Plan:
    """One run, and where it is tuned two trials before it."""
    folder = tiny_study(axes={"seed": [0]})
    asked = design.read_study(folder, [], config_dirs=[])
    return planning.plan(asked, tmp_path / "study", config_dirs=[])


@pytest.fixture
def works(monkeypatch) -> Callable[[Work], None]:
    """``works(DO)``: what a job does with its folder, in place of a training."""

    def use(do: Work) -> None:
        def work_on(plan: Plan, name: str, *, say: object) -> None:
            (job,) = plan.runs[0].choices
            plan.directory(job).mkdir(parents=True, exist_ok=True)
            do(plan.directory(job))

        monkeypatch.setattr(mirrored, "work_on", work_on)

    return use


def run_elsewhere(plan: Plan, store: ObjectStore) -> None:
    """As a task does on its node."""
    with folder_of_task(store, plan.runs[0].name) as own:
        work_mirrored(replace(plan, out=str(own)), plan.runs[0].name, store, say=pytest.fail)


def steps(folder: Path) -> int:
    file = folder / "checkpoints" / "last.ckpt"
    return int(file.read_text()) if file.is_file() else 0


def go_on(folder: Path, *, until: int) -> None:
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").write_text(str(until))


def finish(folder: Path) -> None:
    write_json(folder / "summary.json", {"results": []})


def test_a_run_that_stopped_goes_on_in_another_folder(plan, store, works) -> None:
    seen: list[int] = []

    def stops(folder: Path) -> None:
        seen.append(steps(folder))
        go_on(folder, until=40)
        raise KeyboardInterrupt

    def ends(folder: Path) -> None:
        seen.append(steps(folder))
        finish(folder)

    works(stops)
    with pytest.raises(KeyboardInterrupt):
        run_elsewhere(plan, store)
    works(ends)
    run_elsewhere(plan, store)
    assert seen == [0, 40]
    (kept,) = states(store).values()
    assert [state.finished for state in kept] == [False, True]


def test_what_a_node_wrote_is_deleted_there(plan, store, works, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    left = []

    def leaves(folder: Path) -> None:
        left.append(folder)
        finish(folder)

    works(leaves)
    run_elsewhere(plan, store)
    assert left[0].is_relative_to(tmp_path / "node")
    assert [file for file in (tmp_path / "node").rglob("*") if file.is_file()] == []


def test_what_a_killed_task_left_on_the_node_is_not_taken_for_the_run(store) -> None:
    with folder_of_task(store, "one") as folder:
        place = folder
    place.mkdir()
    (place / "left").write_text("of a task that was killed")
    with folder_of_task(store, "one") as folder:
        assert folder == place
        assert list(folder.iterdir()) == []
    with folder_of_task(store, "two") as folder:
        assert folder != place


def test_the_driver_has_the_run_and_its_log_as_if_made_there(plan, store, works, tmp_path) -> None:
    name = plan.runs[0].name

    def ends(folder: Path) -> None:
        (folder.parents[1] / "logs").mkdir()
        (folder.parents[1] / log_of(name)).write_text("what it said")
        finish(folder)

    works(ends)
    run_elsewhere(plan, store)
    assert job_statuses(plan)[0].state.kind == "missing"
    assert fetch(plan, name, store, say=pytest.fail).kind == "finished"
    assert Path(plan.out, log_of(name)).read_text() == "what it said"


def test_a_failed_run_is_told_and_the_same_command_tries_it_again(plan, store, works) -> None:
    tried = []

    def fails(folder: Path) -> None:
        tried.append((folder / "error.txt").is_file())
        (folder / "error.txt").write_text("ValueError: it was not to be")

    works(fails)
    run_elsewhere(plan, store)
    state = fetch(plan, plan.runs[0].name, store, say=pytest.fail)
    assert (state.kind, state.note) == ("failed", "ValueError: it was not to be")
    run_elsewhere(plan, store)
    assert tried == [False, False]


def test_a_command_elsewhere_begins_with_what_is_finished(plan, store, works, tmp_path) -> None:
    works(finish)
    run_elsewhere(plan, store)
    other = replace(plan, out=str(tmp_path / "another-machine"))
    exchange(other, store, say=pytest.fail)
    assert [status.state.kind for status in job_statuses(other)] == ["finished"]


@pytest.mark.parametrize("done", [True, False])
def test_what_only_this_machine_has_goes_to_the_store(plan, store, works, done: bool) -> None:
    (job,) = plan.runs[0].choices
    at = plan.directory(job)
    at.mkdir(parents=True)
    go_on(at, until=20)
    if done:
        finish(at)
    exchange(plan, store, say=pytest.fail)
    ((state,),) = states(store).values()
    assert state.finished == done
    assert steps(at) == 20


def test_what_has_not_begun_is_not_kept(plan, store) -> None:
    exchange(plan, store, say=pytest.fail)
    assert states(store) == {}


def test_a_folder_in_use_is_not_replaced(plan, store, works) -> None:
    works(finish)
    run_elsewhere(plan, store)
    (job,) = plan.runs[0].choices
    at = plan.directory(job)
    at.mkdir(parents=True)
    (at.parent / locks.FOLDER).mkdir()
    other = replace(locks.myself(), machine="another", host="far")
    write_json(at.parent / locks.FOLDER / f"{at.name}.1", vars(other))
    with pytest.raises(ValueError, match="on far works in it"):
        fetch(plan, plan.runs[0].name, store, say=pytest.fail)
    assert list(at.iterdir()) == []


def test_trials_come_before_the_run_that_they_choose_for(
    tiny_study, store, tmp_path, monkeypatch
) -> None:
    """A run on another node is given its trials' results, and says them in its cell.json."""
    folder = tiny_study(
        axes={"seed": [0]},
        tune={"values": {"optimizer.base_lr": [0.1, 0.2]}, "share": 0.5, "seed": 9},
    )
    asked = design.read_study(folder, [], config_dirs=[])
    plan = planning.plan(asked, tmp_path / "study", config_dirs=[])

    def judged(plan: Plan, name: str, *, say: object) -> None:
        (job,) = (job for job in plan.trials if f"trial {job.name}" == name)
        plan.directory(job).mkdir(parents=True)
        write_json(plan.directory(job) / "trial.json", {"value": float(job.place in best)})

    monkeypatch.setattr(mirrored, "work_on", judged)
    best = {plan.trials[1].place}
    for job in plan.trials:
        name = f"trial {job.name}"
        with folder_of_task(store, name) as own:
            work_mirrored(replace(plan, out=str(own)), name, store, say=pytest.fail)
        assert fetch(plan, name, store, say=pytest.fail).kind == "finished"
    chosen: list[str] = []

    def chooses(plan: Plan, name: str, *, say: object) -> None:
        (status,) = (each for each in job_statuses(plan) if each.name == name)
        assert status.job is not None
        chosen.append(status.job.key)

    monkeypatch.setattr(mirrored, "work_on", chooses)
    run_elsewhere(plan, store)
    assert chosen == [plan.runs[0].choices[1].key]


TASK = """
import sys
from pathlib import Path
from ssl_patches.studies.jobs import read_plan
from ssl_patches.studies.object_store import ObjectStore
from ssl_patches.studies.ray_tasks import run_one
run_one(read_plan(Path(sys.argv[1])), sys.argv[2], ".", [], ObjectStore(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_task_that_is_killed_goes_on_elsewhere_to_the_same_weights(
    tiny_study, tmp_path, monkeypatch, quick_end
) -> None:
    """As on two machines that share nothing but the store; ``test_ray_store`` has Ray as well."""
    import torch

    words = ["trainer.checkpoint_steps=20", "trainer.log_every=5"]
    folder = tiny_study(axes={"seed": [0]}, budget={"images": 16 * 400})
    asked = design.read_study(folder, words, config_dirs=[])
    plan = planning.plan(asked, tmp_path / "out", config_dirs=[])
    name, store = plan.runs[0].name, ObjectStore(f"file://{tmp_path}/store")
    for node in ("first", "second"):
        (tmp_path / node).mkdir()
    killed = subprocess.Popen(
        [sys.executable, "-c", TASK, str(plan.save()), name, store.url],
        env={**os.environ, "TMPDIR": str(tmp_path / "first")},
    )
    while [len(each) for each in states(store).values()] != [2]:  # so the first of them is whole
        assert killed.poll() is None
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    assert list((tmp_path / "first").rglob("last.ckpt"))  # which nobody reads any more
    assert not any(each.finished for each in next(iter(states(store).values())))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "second"))
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    run_one(plan, name, ".", [], store)
    assert fetch(plan, name, store, say=pytest.fail).kind == "finished"
    log = Path(plan.out, log_of(name)).read_text()
    assert log.count(" begins") == 2
    assert int(log.partition("resumed at step ")[2].split()[0]) >= 20

    undisturbed = planning.plan(asked, tmp_path / "undisturbed", config_dirs=[])
    work_on(undisturbed, name, say=lambda _: None)
    expected, found = (
        torch.load(each.directory(each.runs[0].choices[0]) / LAST, weights_only=True)["state_dict"]
        for each in (undisturbed, plan)
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
