"""Several processes are one run: loss, gradients and weights are those of one process that computes
their shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from runs import DRAWLESS, first_gradients, largest_difference, last, rows, weights
from small import REPOSITORY, SMALL

from ssl_patches.cli import main
from ssl_patches.training import processes

TWO = ("trainer.devices=2", "trainer.device=cpu")


def losses(run_dir: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(run_dir)]


def test_two_processes_are_one_with_twice_the_batch(only_training, tmp_path, monkeypatch):
    """DDP over gloo; the child is started from the saved configuration, as nobody typed a command
    here."""
    argv, before = list(sys.argv), dict(os.environ)
    monkeypatch.setattr(sys, "argv", ["a-notebook"])
    with first_gradients(monkeypatch) as joined:
        two = only_training(
            tmp_path / "two", *DRAWLESS, *TWO, "data.batch_size=8", "budget.images=32"
        )
    with first_gradients(monkeypatch) as whole:
        one = only_training(tmp_path / "one", *DRAWLESS, "data.batch_size=16", "budget.images=32")
    assert largest_difference(joined, whole) < 1e-6
    assert losses(two)[0] == pytest.approx(losses(one)[0], rel=1e-6)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    for key in ("step", "images", "lr", "flops"):
        assert [row[key] for row in rows(two)] == [row[key] for row in rows(one)]
    assert {key: os.environ.get(key) for key in processes.OURS} == {
        key: before.get(key) for key in processes.OURS
    }
    assert not torch.distributed.is_initialized()
    assert argv


def test_what_is_asked_for_and_what_was_started_must_agree(tmp_path, monkeypatch, capsys):
    run_dir = f"run_dir={tmp_path / 'run'}"

    def refused(*words: str, **variables: str) -> str:
        with monkeypatch.context() as patch:
            for key, value in variables.items():
                patch.setenv(key, value)
            assert main(["pretrain", *SMALL, *words]) == 2
        return capsys.readouterr().err

    torchrun = {
        "TORCHELASTIC_RUN_ID": "x",
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "GROUP_RANK": "0",
    }
    assert "trainer.devices=1, trainer.nodes=1: 2 processes were started" in refused(
        run_dir, **torchrun
    )
    assert "run_dir: 2 processes were started and need one and the same" in refused(
        *TWO, **torchrun
    )
    slurm = {
        "SLURM_NTASKS": "4",
        "SLURM_JOB_NAME": "train",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": "0",
    }
    assert "4 processes were started, these are 2; set trainer.devices=4" in refused(
        run_dir, *TWO, **slurm
    )
    slurm |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}
    assert "trainer.devices=2: give srun --ntasks-per-node=2, not --ntasks" in refused(
        run_dir, *TWO, **slurm
    )
    assert "trainer.nodes=2: start the processes with torchrun or srun" in refused(
        run_dir, "trainer.nodes=2"
    )
    assert "budget.seconds=9: the clocks of 2 processes differ" in refused(
        run_dir, *TWO, "budget.images=null", "budget.seconds=9"
    )
    assert "data.batch_size=40: must be 1 to 32 on each of 2 processes" in refused(
        run_dir, *TWO, "data.batch_size=40"
    )
    assert not (tmp_path / "run").exists()


def test_inside_an_allocation_without_srun_there_is_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert processes.started_outside() == 1
    assert type(processes.environment()).__name__ == "LightningEnvironment"
    assert not processes.is_follower()


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["masked", "jigsaw", "position", "agree", "subsets", "relative spread=logdet"]
)
def test_two_processes_are_one_with_two_shards_whatever_is_drawn_and_normalised(
    task, only_training, tmp_path, monkeypatch
):
    """Crops, masks, puzzles, the BatchNorm of a head and the spread of features included; one batch
    of twice the size is another run, and is seen."""
    words = (*f"task={task}".split(), "data.batch_size=8", "budget.images=48")
    with first_gradients(monkeypatch) as joined:
        two = only_training(tmp_path / "two", *words, *TWO)
    with first_gradients(monkeypatch) as shards:
        one = only_training(tmp_path / "one", *words, "trainer.accumulate=2")
    assert largest_difference(joined, shards) < 1e-6
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    with first_gradients(monkeypatch) as whole:
        only_training(tmp_path / "whole", *words, "data.batch_size=16")
    assert largest_difference(joined, whole) > 1e-2


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_one_with_two_shards(only_training, tmp_path):
    words = ("data.batch_size=8", "trainer.checkpoint_steps=3", "budget.images=96")
    wanted = only_training(tmp_path / "two", *words, *TWO)
    run_dir = tmp_path / "one"
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / "checkpoints" / "last.ckpt").write_bytes(
        (wanted / "checkpoints" / "step-00000003.ckpt").read_bytes()
    )
    only_training(run_dir, *words, "trainer.accumulate=2", "resume=true")
    assert last(run_dir)["global_step"] == 6
    assert losses(run_dir) == pytest.approx(losses(wanted)[3:], rel=1e-4)
    # a BatchNorm of a head meets two shards in turn where two processes meet one each: its running
    # statistics differ
    state = {
        key: value
        for key, value in weights(run_dir).items()
        if "running" not in key and "batches" not in key
    }
    assert largest_difference(state, {key: weights(wanted)[key] for key in state}) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked", "jigsaw"])
def test_fsdp2_is_the_same_run_resumes_and_leaves_a_plain_checkpoint(task, only_training, tmp_path):
    words = (
        f"task={task}",
        "data.batch_size=8",
        "budget.images=64",
        "trainer.checkpoint_steps=2",
        "trainer.checkpoints_kept=9",
    )
    words = (
        *words,
        "trainer.onednn=false",
    )  # AdamW makes much of rounding, where a gradient is nearly zero
    ddp = only_training(tmp_path / "ddp", *words, *TWO)
    fsdp = only_training(tmp_path / "fsdp", *words, *TWO, "trainer.strategy=fsdp")
    assert losses(fsdp) == pytest.approx(losses(ddp), rel=1e-4)
    assert weights(fsdp).keys() == weights(ddp).keys()
    assert all(type(value) is torch.Tensor for value in weights(fsdp).values())
    assert largest_difference(weights(fsdp), weights(ddp)) < 1e-2
    early = (fsdp / "checkpoints" / "step-00000002.ckpt").read_bytes()
    (fsdp / "checkpoints" / "last.ckpt").write_bytes(early)
    only_training(fsdp, *words, *TWO, "trainer.strategy=fsdp", "resume=true")
    assert losses(fsdp) == pytest.approx(losses(ddp), rel=1e-4)


def small_run(*words: str) -> list[str]:
    given = {word.partition("=")[0] for word in words}
    return [
        "pretrain",
        *(word for word in SMALL if word.partition("=")[0] not in given),
        *words,
        "trainer.log_every=1",
    ]


@pytest.mark.slow
def test_torchrun_starts_the_processes(only_training, tmp_path):
    words = (
        "data.batch_size=8",
        "budget.images=32",
        "evaluation.train_images=16",
        "evaluation.test_images=8",
    )
    run_dir = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "ssl_patches",
    ]
    told = subprocess.run(
        [*command, *small_run(*words, *TWO, f"run_dir={run_dir}")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("load it") == 1  # one process speaks
    one = only_training(tmp_path / "one", *words, "trainer.accumulate=2")
    assert losses(run_dir) == pytest.approx(losses(one), rel=1e-5)


@pytest.mark.slow
def test_slurm_starts_the_processes(only_training, tmp_path):
    """What srun sets, set by hand; no Slurm is needed."""
    words = ("data.batch_size=8", "budget.images=32")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    step = {
        "JOB_ID": "7",
        "JOB_NAME": "train",
        "NTASKS": "2",
        "NTASKS_PER_NODE": "2",
        "STEP_NUM_TASKS": "2",
        "NODEID": "0",
    }
    step = {
        f"SLURM_{key}": value
        for key, value in {**step, "JOB_NODELIST": "localhost", "NODELIST": "localhost"}.items()
    }
    step |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [
        sys.executable,
        "-m",
        "ssl_patches",
        *small_run(*words, *TWO, f"run_dir={tmp_path / 'run'}"),
    ]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **step, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    told = [process.communicate(timeout=600)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], told
    one = only_training(tmp_path / "one", *words, "trainer.accumulate=2")
    assert losses(tmp_path / "run") == pytest.approx(losses(one), rel=1e-5)


@pytest.mark.slow
def test_a_signal_to_the_first_process_stops_all_after_the_same_step(tmp_path):
    run_dir = tmp_path / "run"
    words = small_run(*TWO, "data.batch_size=8", "budget.images=1e6", f"run_dir={run_dir}")
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_patches", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        while not (run_dir / "metrics.csv").is_file():
            assert process.poll() is None, process.stderr.read()
        process.terminate()
        said = process.communicate(timeout=300)[1]
    finally:
        process.kill()
    assert process.returncode == 1
    assert said.splitlines()[-1].endswith(f" run_dir={run_dir} resume=true")
    assert last(run_dir)["global_step"] >= 1


@pytest.mark.slow
def test_a_child_that_dies_takes_the_run_with_it(tmp_path):
    """The first process would wait for it for ever."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nif os.environ.get('LOCAL_RANK') == '1':\n    os._exit(3)\n"
    )
    program = (
        "import sys; from ssl_patches.training import processes; processes.CHILD_SECONDS = 1;"
        " from ssl_patches.cli import main; "
    )
    words = small_run(*TWO, "data.batch_size=8", f"run_dir={tmp_path / 'run'}")
    told = subprocess.run(
        [sys.executable, "-c", f"{program} sys.exit(main({words!r}))"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 1
    assert "a process of the run ended with exit code 3" in told.stderr
