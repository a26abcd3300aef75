"""A run that is killed and resumed ends in the weights of the unbroken one, bit for bit; so does a
run repeated."""

from __future__ import annotations

import csv
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.data.training_stream import PatchDataModule
from ssl_patches.training import pretrainer

STEPS, EVERY = 36, 12
LONG = (f"budget.images={16 * STEPS}", f"trainer.checkpoint_steps={EVERY}", "trainer.log_every=1")

RESNET = (
    "encoder=resnet18",
    "encoder.options={layers:[1,1,1,1],channels:[16,24,32,48],stem_width:16}",
    "encoder.patch_size=null",
)


def checkpoint(run_dir: Path) -> dict:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def steps(run_dir: Path) -> list[int]:
    return [int(row["step"]) for row in rows(run_dir)]


def differing(one: dict, other: dict) -> list[str]:
    """The tensors of two checkpoints (weights, and the state of the optimiser) that are not equal
    bit for bit."""
    assert one["state_dict"].keys() == other["state_dict"].keys()
    found = [
        name
        for name, value in one["state_dict"].items()
        if isinstance(value, torch.Tensor) and not value.equal(other["state_dict"][name])
    ]
    state, held = one["optimizer_states"][0]["state"], other["optimizer_states"][0]["state"]
    assert state.keys() == held.keys()
    return found + [
        f"optimizer {at}.{key}"
        for at in state
        for key, value in state[at].items()
        if not value.equal(held[at][key])
    ]


def start(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "ssl_patches", "pretrain", *SMALL, *words]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A run killed some steps after its first checkpoint; never write into it."""
    run_dir = tmp_path_factory.mktemp("killed") / "run"
    process = start(*LONG, f"run_dir={run_dir}")
    try:
        wait_for(
            lambda: (
                (run_dir / "metrics.csv").is_file()
                and f"\n{EVERY + 5}," in (run_dir / "metrics.csv").read_text()
            ),
            process,
        )
    finally:
        process.kill()  # SIGKILL: nothing can be tidied up
        process.communicate()
    assert EVERY + 5 <= steps(run_dir)[-1] < STEPS, "the kill came too late to say anything"
    assert checkpoint(run_dir)["global_step"] in (EVERY, 2 * EVERY)
    return run_dir


@pytest.fixture
def unbroken(only_training, tmp_path) -> Path:
    return only_training(tmp_path / "unbroken", *LONG)


def test_a_killed_run_goes_on_to_the_weights_of_the_unbroken_one_and_all_of_this_is_needed(
    killed, unbroken, only_training, tmp_path, monkeypatch
):
    wanted = checkpoint(unbroken)
    run_dir = Path(shutil.copytree(killed, tmp_path / "resumed"))
    only_training(run_dir, *LONG, "resume=true")
    assert differing(wanted, checkpoint(run_dir)) == []
    assert steps(run_dir) == list(range(1, STEPS + 1))
    same = [
        key for key in rows(run_dir)[0] if key not in ("seconds", "images_per_second", "data_wait")
    ]
    assert [[row[key] for key in same] for row in rows(run_dir)] == [
        [row[key] for key in same] for row in rows(unbroken)
    ]

    count = itertools.count()
    breakages = {
        "the place in the stream of images": (
            PatchDataModule, "start_batch", property(lambda self: 0, lambda self, value: None)
        ),
        "the seed of a step": (
            pretrainer, "step_seed", lambda seed, step, rank: next(count)
        ),
        "the state of the optimiser": (
            torch.optim.AdamW,
            "load_state_dict",
            lambda self, state: None,
        ),
    }  # fmt: skip
    for what, (place, name, broken) in breakages.items():
        run_dir = Path(shutil.copytree(killed, tmp_path / what.replace(" ", "_")))
        with monkeypatch.context() as patch:
            patch.setattr(place, name, broken, raising=False)
            only_training(run_dir, *LONG, "resume=true")
        assert differing(wanted, checkpoint(run_dir)), f"{what} is lost and nobody notices"


def test_ctrl_c_saves_says_how_to_go_on_and_what_follows_equals_the_unbroken_run(
    only_training, tmp_path, monkeypatch, capsys
):
    words = (f"budget.images={16 * 12}",)
    wanted = checkpoint(only_training(tmp_path / "unbroken", *words))
    capsys.readouterr()
    after = pretrainer.Pretrainer.on_train_batch_end

    def pressed(module, *arguments) -> None:
        after(module, *arguments)
        if module.global_step == 5:
            signal.raise_signal(signal.SIGINT)

    run_dir = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(pretrainer.Pretrainer, "on_train_batch_end", pressed)
        only_training(run_dir, *words, code=1)
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        f"stopped after 5 steps, saved in {run_dir / 'checkpoints' / 'last.ckpt'}; go on with"
        " ssl-patches pretrain " in said.err
    )
    assert "Traceback" not in said.err
    assert checkpoint(run_dir)["global_step"] == 5
    hint = shlex.split(said.err.rpartition("go on with ssl-patches ")[2])
    assert main(hint) == 0  # as it stands, typed in a shell
    assert differing(wanted, checkpoint(run_dir)) == []
    assert steps(run_dir) == list(range(1, 13))


def test_sigterm_saves_too(only_training, tmp_path, monkeypatch, capsys):
    after = pretrainer.Pretrainer.on_train_batch_end

    def pressed(module, *arguments) -> None:
        after(module, *arguments)
        if module.global_step == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(pretrainer.Pretrainer, "on_train_batch_end", pressed)
    run_dir = only_training(tmp_path / "run", code=1)
    assert "stopped after 3 steps, saved in" in capsys.readouterr().err
    assert checkpoint(run_dir)["global_step"] == 3


def test_ctrl_c_is_answered_as_before_when_a_run_is_over(only_training, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    only_training(tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_ctrl_c_in_a_process_of_its_own_with_workers(tmp_path):
    run_dir = tmp_path / "run"
    process = start(
        "budget.images=1e6", "data.num_workers=2", "trainer.log_every=1", f"run_dir={run_dir}"
    )
    try:
        wait_for((run_dir / "metrics.csv").is_file, process)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].endswith(f" run_dir={run_dir} resume=true")
    assert checkpoint(run_dir)["global_step"] >= 1


def test_a_seed_decides_the_weights_to_the_bit_and_another_seed_others(only_training, tmp_path):
    one, again, other = (
        checkpoint(only_training(tmp_path / name, f"seed={seed}"))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert differing(one, again) == []
    assert differing(one, other)


@pytest.mark.parametrize("task", ["masked", "relative"])
def test_the_same_holds_for_a_resnet_with_its_running_statistics(task, only_training, tmp_path):
    words = (*RESNET, f"task={task}", "data.batch_size=8")
    wanted = checkpoint(
        only_training(
            tmp_path / "unbroken",
            *words,
            "trainer.checkpoint_steps=3",
            "trainer.checkpoints_kept=9",
        )
    )
    early = tmp_path / "unbroken" / "checkpoints" / "step-00000003.ckpt"
    run_dir = Path(shutil.copytree(tmp_path / "unbroken", tmp_path / "resumed"))
    shutil.copy(early, run_dir / "checkpoints" / "last.ckpt")
    only_training(run_dir, *words, "resume=true")
    assert differing(wanted, checkpoint(run_dir)) == []
    assert steps(run_dir) == list(range(1, 9))


def test_a_finished_run_is_extended_by_a_larger_budget_and_stays_as_it_is_with_the_same(
    only_training, tmp_path
):
    run_dir = only_training(tmp_path / "run")
    before = checkpoint(run_dir)
    only_training(run_dir, "resume=true")
    assert differing(before, checkpoint(run_dir)) == []
    assert steps(run_dir) == [1, 2, 3, 4]
    only_training(run_dir, "resume=true", "budget.images=112")
    assert checkpoint(run_dir)["global_step"] == 7
    assert steps(run_dir) == [1, 2, 3, 4, 5, 6, 7]
    assert differing(before, checkpoint(run_dir))


def test_resume_starts_where_there_is_nothing(only_training, tmp_path):
    assert checkpoint(only_training(tmp_path / "new", "resume=true"))["global_step"] == 4


def test_overwrite_starts_anew(only_training, tmp_path):
    run_dir = only_training(tmp_path / "run")
    (run_dir / "unreadable.csv").write_text("of the old run")
    only_training(run_dir, "overwrite=true", "budget.images=32")
    assert steps(run_dir) == [1, 2]
    assert not (run_dir / "unreadable.csv").exists()


def test_what_is_exported_is_what_was_trained(finished_run):
    trained = {
        key.removeprefix("encoder.model."): value
        for key, value in checkpoint(finished_run)["state_dict"].items()
    }
    exported = load_file(finished_run / "encoder" / "model.safetensors")
    unequal = [name for name, value in exported.items() if not value.equal(trained[name])]
    assert [name for name in unequal if name != "pos_embed"] == []  # fixed: settled at export


def test_help_says_how_to_resume(capsys):
    assert main(["pretrain", "--help"]) == 0
    assert "resume=true" in capsys.readouterr().out
