"""A study on a real one-node Slurm: an array of workers, and a job that is preempted, requeued and
goes on.

Runs where Debian's slurm-wlm and munge are installed and one may start daemons (root), as `make
test-all` in a container.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl_patches.cli import main
from ssl_patches.studies.run_reader import used

SCRIPTS = Path(__file__).parent / "slurm"
there = shutil.which("slurmctld") and shutil.which("munged") and os.geteuid() == 0


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    subprocess.run([SCRIPTS / "start.sh"], check=True, timeout=120)
    yield
    subprocess.run([SCRIPTS / "stop.sh"], check=True, timeout=60)


def start(folder: Path, *words: str) -> subprocess.Popen:
    out = f"out={folder.parent / 'out'}"
    settings = ("launcher=slurm", "slurm.partition=main", "slurm.timeout_min=30", *words)
    command = [sys.executable, "-m", "ssl_patches", "study", str(folder), out, *settings]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(not there, reason="needs root, slurm-wlm and munge")
def test_a_study_of_two_cells_runs_as_an_array_of_two_workers(slurm, tiny_study, tmp_path):
    process = start(tiny_study(), "workers=2")
    said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert re.search(r"Slurm job \d+, 2 workers", said[1])
    summaries = [
        json.loads(file.read_text()) for file in (tmp_path / "out" / "cells").rglob("summary.json")
    ]
    assert sorted(summary["seed"] for summary in summaries) == [0, 1]
    logs = [file.read_text() for file in (tmp_path / "out" / "slurm").glob("*.err")]
    assert len(logs) == 2
    assert sorted(re.findall(r"^== (\S+)", "".join(logs), re.MULTILINE)) == [
        "jigsaw-seed0",
        "jigsaw-seed1",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not there, reason="needs root, slurm-wlm and munge")
def test_a_preempted_worker_saves_is_requeued_and_goes_on(slurm, tiny_study, tmp_path):
    folder = tiny_study(axes={"task": ["jigsaw"], "seed": [0]}, budget={"images": 16 * 1000})
    process = start(folder, "trainer.log_every=1", "trainer.checkpoint_minutes=60")
    metrics = lambda: list((tmp_path / "out").rglob("metrics.csv"))  # noqa: E731
    wait_for(lambda: metrics() and used(metrics()[0].parent).get("images", 0) >= 16 * 20, process)
    subprocess.run(["scancel", "--signal=USR2", "--user=root"], check=True)
    cell = metrics()[0].parent
    wait_for(lambda: (cell / "checkpoints" / "last.ckpt").exists(), process)
    stopped = used(cell)["images"]
    assert stopped < 16 * 1000
    said = process.communicate(
        timeout=1200
    )  # Slurm waits about two minutes before it starts a requeued job
    assert process.returncode == 0, said
    log = "".join(file.read_text() for file in (tmp_path / "out" / "slurm").glob("*.err"))
    assert "asks to be requeued" in log
    assert f"resumed at step {int(stopped / 16)}" in log
    assert json.loads((cell / "summary.json").read_text())["budget_used"]["images"] == 16 * 1000


@pytest.mark.skipif(shutil.which("sbatch") is not None, reason="there is a Slurm here")
def test_where_there_is_no_slurm_that_is_said_and_nothing_written(tiny_study, tmp_path, capsys):
    assert (
        main(
            [
                "study",
                str(tiny_study(axes={"seed": [0]})),
                f"out={tmp_path / 'out'}",
                "launcher=slurm",
            ]
        )
        == 2
    )
    assert "there is no sbatch on this machine; give workers=N" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
