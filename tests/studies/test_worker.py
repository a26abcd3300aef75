"""Cells run once, whatever is killed, stopped or broken, and by however many processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_patches.cli import main
from ssl_patches.config import locks
from ssl_patches.config.owners import start_of
from ssl_patches.studies import tuning
from ssl_patches.studies.run_reader import run_state, used
from ssl_patches.training.callbacks.checkpoint import Checkpoints
from ssl_patches.training.pretrainer import Pretrainer


def run(folder: Path, *words: str, code: int = 0) -> Path:
    out = folder.parent / "out"
    assert main(["study", str(folder), f"out={out}", *words]) == code
    return out


def cells_of(out: Path, below: str = "cells") -> dict[str, Path]:
    return {
        path.name.rpartition("-")[0]: path
        for path in sorted((out / below).iterdir())
        if path.name[0] != "."
    }


def stamps(out: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}


def test_finished_cells_are_never_run_again_and_more_cells_may_be_asked_for(
    tiny_study, quick_end, capsys
):
    out = run(tiny_study())
    assert list(cells_of(out)) == ["jigsaw-seed0", "jigsaw-seed1"]
    before = stamps(out)
    assert run(tiny_study(axes={"task": ["jigsaw"], "seed": [0, 1, 2]})) == out
    assert list(cells_of(out)) == ["jigsaw-seed0", "jigsaw-seed1", "jigsaw-seed2"]
    assert stamps(out).items() >= before.items()
    assert "3 finished" in capsys.readouterr().out
    about = json.loads((cells_of(out)["jigsaw-seed2"] / "cell.json").read_text())
    assert about["axes"] == {"task": "jigsaw", "seed": "2"}
    assert "task=jigsaw seed=2" in about["command"]


def test_a_failed_cell_is_listed_with_its_error_and_does_not_stop_the_rest(
    tiny_study, quick_end, monkeypatch, capsys
):
    before = Pretrainer.training_step

    def broken(self, batch, index):
        if self.seed == 0:
            raise ZeroDivisionError("seed 0 is broken")
        return before(self, batch, index)

    monkeypatch.setattr(Pretrainer, "training_step", broken)
    out = run(tiny_study(), code=1)
    shown = capsys.readouterr().out
    assert re.search(r"jigsaw-seed0 +failed +ZeroDivisionError: seed 0 is broken", shown)
    assert re.search(r"jigsaw-seed1 +finished", shown)
    assert "in broken" in (cells_of(out)["jigsaw-seed0"] / "error.txt").read_text()
    monkeypatch.setattr(Pretrainer, "training_step", before)
    run(tiny_study())  # and is tried again by the next command
    assert not (cells_of(out)["jigsaw-seed0"] / "error.txt").exists()


def test_ctrl_c_stops_after_the_step_and_the_same_command_goes_on(
    tiny_study, quick_end, monkeypatch, capsys
):
    before = Pretrainer.on_train_batch_start
    steps = []

    def interrupted(self, batch, index):
        steps.append((self.seed, self.global_step))
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        before(self, batch, index)

    monkeypatch.setattr(Pretrainer, "on_train_batch_start", interrupted)
    out = run(tiny_study(), code=1)
    assert run_state(cells_of(out)["jigsaw-seed0"]).kind == "stopped"
    assert "go on" in capsys.readouterr().err
    run(tiny_study())
    assert steps == [(seed, step) for seed in (0, 1) for step in range(4)]  # no step twice


@pytest.mark.slow  # a process; tests/training/test_run.py kills a run in every test of a push
def test_a_killed_study_goes_on_from_the_checkpoint_and_a_finished_cell_is_left_alone(
    tiny_study, quick_end, capsys
):
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [0]}, budget={"images": 16 * 4000})
    words = ("trainer.checkpoint_steps=20", "trainer.log_every=1")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ssl_patches",
            "study",
            str(folder),
            f"out={folder.parent / 'out'}",
            *words,
        ],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    out, end = folder.parent / "out", time.monotonic() + 300
    while not list(out.rglob("last.ckpt")):  # the name that resuming looks for comes last
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    cell = cells_of(out)["jigsaw-seed0"]
    assert run_state(cell).kind == "running"
    with pytest.raises(ValueError, match=f"process {process.pid} on .* works in it"):
        locks.refuse_others(cell)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run_state(cell).kind == "crashed"
    at = used(cell)["images"] / 16
    assert 20 <= at < 3000
    # a step may be slow; what is left of so long a run is not run here
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            Pretrainer, "on_train_batch_start", lambda self, *_: _note_and_stop(self, seen)
        )
        run(folder, *words, code=1)
    assert seen[0] >= 20
    assert seen[0] % 20 == 0


def _note_and_stop(module: Pretrainer, seen: list[int]) -> None:
    seen.append(module.global_step)
    os.kill(os.getpid(), signal.SIGINT)


def test_trials_choose_by_training_images_and_the_cells_take_what_won(
    tiny_study, quick_end, monkeypatch
):
    values = {1e-3: 30.0, 2e-3: 40.0}
    monkeypatch.setattr(
        tuning, "_probed", lambda cfg, module: {"value": values[cfg["optimizer"]["base_lr"]]}
    )
    tune = {"values": {"optimizer.base_lr": [1e-3, 2e-3]}, "share": 0.5, "seed": 9}
    out = run(tiny_study(axes={"task": ["jigsaw"], "seed": [0]}, tune=tune))
    about = json.loads((cells_of(out)["jigsaw-seed0"] / "cell.json").read_text())
    assert about["trials"] == {"jigsaw-base_lr0.001": 30.0, "jigsaw-base_lr0.002": 40.0}
    assert about["command"].endswith("optimizer.base_lr=0.002")
    for trial in cells_of(out, "tune").values():
        assert {file.name for file in trial.iterdir()} == {
            "cell.json",
            "metrics.csv",
            "settings.yaml",
            "trial.json",
        }
        assert json.loads((trial / "trial.json").read_text())["images"] == 32


def test_a_trial_never_reads_an_image_of_the_test_split(tiny_study, quick_end, monkeypatch):
    """Nor do the observers of a run, which look at held-out images."""
    from small import SMALL

    from ssl_patches.data.embedded import EmbeddedSource

    read, at_the_end = set(), []
    before, judge = EmbeddedSource.__getitem__, tuning.judge

    def noted(self, index):
        read.add(self.split)
        return before(self, index)

    def judged(*given, **named):
        judge(*given, **named)
        at_the_end.append(set(read))

    monkeypatch.setattr(EmbeddedSource, "__getitem__", noted)
    monkeypatch.setattr(tuning, "judge", judged)
    tune = {"values": {"optimizer.base_lr": [1e-3]}, "share": 0.5, "seed": 9}
    base = [
        *(word for word in SMALL if not word.startswith("budget.")),
        "callbacks.health.images=16",
    ]
    out = run(tiny_study(base=base, axes={"task": ["jigsaw"], "seed": [0]}, tune=tune))
    assert at_the_end == [{"train"}]
    assert read == {"train", "val"}  # the cell's observers and figures
    result = json.loads((cells_of(out, "tune")["jigsaw-base_lr0.001"] / "trial.json").read_text())
    assert 0 <= result["low"] <= result["value"] <= result["high"] <= 100
    assert 10 <= result["n"] <= 16  # a fifth of 64


def test_all_trials_diverged_is_told_and_stops_only_their_cells(
    tiny_study, quick_end, monkeypatch, capsys
):
    monkeypatch.setattr(tuning, "_probed", lambda cfg, module: {"value": None, "diverged": True})
    tune = {"values": {"optimizer.base_lr": [1e-3]}, "share": 0.5, "seed": 9}
    run(tiny_study(axes={"task": ["jigsaw"], "seed": [0]}, tune=tune), code=1)
    assert "all its trials diverged; give other tune.values" in capsys.readouterr().out


def test_a_full_disk_is_told_leaves_nothing_half_written_and_ends_the_study(
    tiny_study, quick_end, monkeypatch, capsys
):
    def full(self, trainer):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", full)
        out = run(tiny_study(), code=1)
    assert "No space left on device; make room and give the same command" in capsys.readouterr().err
    assert list(cells_of(out)) == ["jigsaw-seed0"]
    assert not list(out.rglob("*.half"))
    run(tiny_study())


@pytest.mark.slow  # a process; test_checkpoint.py fills a disk within the tests' own
def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_no_half(tiny_study, tmp_path):
    """Files may not grow beyond 300 kB: what the system says then is what it says on a full disk,
    but for the number."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
        "from ssl_patches.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["study", str(tiny_study(axes={"seed": [0]})), f"out={tmp_path / 'out'}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stdout
    cell = cells_of(tmp_path / "out")["seed0"]
    assert "OSError" in (cell / "error.txt").read_text()
    assert not list(cell.rglob("*.half"))
    assert not (cell / "summary.json").exists()


def test_a_summary_that_cannot_be_read_is_no_result_and_is_made_again(tiny_study, quick_end):
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [0]})
    cell = cells_of(run(folder))["jigsaw-seed0"]
    (cell / "summary.json").write_text('{"results": [')
    run(folder)
    assert json.loads((cell / "summary.json").read_text())["budget_used"]["images"] == 64


def test_sweeps_of_pretrain_run_each_combination_and_again_only_what_failed(
    quick_end, monkeypatch, tmp_path, capsys
):
    from small import SMALL

    before = Pretrainer.training_step
    monkeypatch.setattr(
        Pretrainer, "training_step", lambda self, *step: 1 / 0 if self.seed else before(self, *step)
    )
    words = [
        "pretrain",
        "-m",
        *SMALL,
        "task=jigsaw,masked",
        "seed=0,1",
        "export=none",
        "callbacks=none",
        f"run_dir={tmp_path / 'sweep'}",
    ]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert len(re.findall("ZeroDivisionError", shown)) == 2
    monkeypatch.setattr(Pretrainer, "training_step", before)
    kept = {
        path: stamp
        for path, stamp in stamps(tmp_path / "sweep").items()
        if "seed0" in str(path.relative_to(tmp_path))
    }
    assert main(words) == 0
    assert stamps(tmp_path / "sweep").items() >= kept.items()
    assert (
        len([path for path in (tmp_path / "sweep").iterdir() if (path / "summary.json").is_file()])
        == 4
    )
    capsys.readouterr()
    assert main(["runs", str(tmp_path / "sweep"), "task=masked", "--json"]) == 0
    assert [
        (run["task"], run["seed"], run["state"]) for run in json.loads(capsys.readouterr().out)
    ] == [
        ("masked", "0", "finished"),
        ("masked", "1", "finished"),
    ]


def test_two_runs_of_pretrain_in_one_directory_are_refused(finished_run, tmp_path, capsys):
    from small import SMALL

    (tmp_path / locks.FOLDER).mkdir()
    with locks.locked(tmp_path / "run"):
        file = next((tmp_path / locks.FOLDER).iterdir())
        claim = json.loads(file.read_text())
        process = subprocess.Popen(["sleep", "60"])
        other = claim | {"pid": process.pid, "start": start_of(process.pid)}
    file.write_text(json.dumps(other))
    try:
        assert main(["pretrain", *SMALL, f"run_dir={tmp_path / 'run'}", "resume=true"]) == 2
    finally:
        process.kill()
        process.wait()
    assert f"process {process.pid} on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_local_processes_and_a_second_study_share_the_cells(tiny_study, tmp_path):
    """Five processes in all, each cell once, floors in every run, and the supervised baseline
    reaches another encoder."""
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [0, 1]}, supervised=True)
    command = [
        sys.executable,
        "-m",
        "ssl_patches",
        "study",
        str(folder),
        f"out={tmp_path / 'out'}",
        "workers=2",
    ]
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    begun = re.findall(
        r"^== (\S+)",
        "".join(log.read_text() for log in (tmp_path / "out" / "logs").iterdir()),
        re.MULTILINE,
    )
    assert sorted(begun) == ["jigsaw-seed0", "jigsaw-seed1", "supervised-seed0", "supervised-seed1"]
    for cell in cells_of(tmp_path / "out").values():
        rows = json.loads((cell / "summary.json").read_text())["results"]
        assert {row["model"] for row in rows} == {"trained", "random_init", "raw_pixels"}


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_reaches_all_workers_and_none_outlives_the_command(end, tiny_study, tmp_path):
    """Ctrl-C is passed on; when the command is killed its workers notice. Either way each saves its
    step and says so."""
    folder = tiny_study(budget={"images": 16 * 100_000})
    command = [
        sys.executable,
        "-m",
        "ssl_patches",
        "study",
        str(folder),
        f"out={tmp_path / 'out'}",
        "workers=2",
    ]
    process = subprocess.Popen(
        [*command, "trainer.log_every=1"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    wait_until(lambda: len(list((tmp_path / "out").rglob("metrics.csv"))) == 2, process)
    cells = list(cells_of(tmp_path / "out").values())
    workers = [locks.owner(cell).pid for cell in cells]
    assert process.pid not in workers
    process.send_signal(end)
    said = process.communicate(timeout=300)[1]
    if end == signal.SIGINT:
        assert process.returncode == 1
        assert "the same command goes on" in said
    wait_until(lambda: not any(locks.owner(cell) for cell in cells))
    assert [run_state(cell).kind for cell in cells] == ["stopped", "stopped"]
    assert all((cell / "checkpoints" / "last.ckpt").is_file() for cell in cells)


def wait_until(condition, process: subprocess.Popen | None = None, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)
