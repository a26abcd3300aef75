"""Checkpoints are whole at any moment, also on a full disk."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from runs import last, weights

from ssl_patches.config import atomic
from ssl_patches.config.messages import Failed
from ssl_patches.training.callbacks import checkpoint
from ssl_patches.training.callbacks.checkpoint import (
    Checkpoints,
    DirectCheckpointIO,
    disk_full_guard,
)


@contextmanager
def full_disk(monkeypatch, step: int, room: int) -> Iterator[None]:
    """Within: from ``step`` on no file can grow beyond ``room`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    write = Checkpoints.write

    def limited(callback: Checkpoints, trainer) -> None:
        if trainer.global_step >= step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        write(callback, trainer)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "write", limited)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_full_disk_does_not_cost_the_last_good_checkpoint(
    kept, trained_run, only_training, tmp_path, monkeypatch, capsys
):
    words = ("trainer.checkpoint_steps=1", f"trainer.checkpoints_kept={kept}")
    wanted = trained_run
    run_dir = tmp_path / "run"
    with full_disk(monkeypatch, 3, 100_000):
        only_training(run_dir, *words, code=1)
    said = capsys.readouterr().err
    assert f"{run_dir}: cannot be written" in said
    assert (
        f"{run_dir / 'checkpoints' / 'last.ckpt'} is whole; make room; go on with"
        " ssl-patches pretrain " in said
    )
    assert said.rstrip().endswith(f" run_dir={run_dir} resume=true")
    assert "Traceback" not in said
    assert last(run_dir)["global_step"] == 2
    assert [
        file.name for file in (run_dir / "checkpoints").iterdir() if file.suffix == ".half"
    ] == []
    only_training(run_dir, *words, "resume=true")
    assert all(value.equal(weights(wanted)[key]) for key, value in weights(run_dir).items())


def test_what_is_written_is_read_back(tmp_path):
    DirectCheckpointIO().save_checkpoint({"a": torch.arange(3)}, tmp_path / "one.ckpt")
    assert torch.load(tmp_path / "one.ckpt", weights_only=True)["a"].tolist() == [0, 1, 2]


def test_a_checkpoint_is_on_the_disk_before_an_older_one_goes(only_training, tmp_path, monkeypatch):
    """Each flush and what has its name at that moment: first the content, then the folder."""
    seen, directory = [], tmp_path / "run" / "checkpoints"

    def note(path) -> None:
        if path == directory or path.parent == directory:
            there = sorted(file.name for file in directory.glob("[!.]*"))
            seen.append(("folder" if path == directory else path.name.split(".")[1], there))

    monkeypatch.setattr(atomic, "flush", note)
    only_training(
        tmp_path / "run",
        "trainer.checkpoint_steps=1",
        "trainer.checkpoints_kept=1",
        "budget.images=32",
    )
    one, two = "step-00000001.ckpt", "step-00000002.ckpt"
    assert seen[-4:] == [
        ("step-00000002", ["last.ckpt", one]),
        ("folder", ["last.ckpt", one, two]),
        ("last", ["last.ckpt", one, two]),
        ("folder", ["last.ckpt", one, two]),
    ]
    assert sorted(file.name for file in directory.iterdir()) == ["last.ckpt", two]


def test_what_a_killed_run_left_half_written_goes_when_it_is_resumed(only_training, tmp_path):
    run_dir = only_training(tmp_path / "run", "budget.images=32")
    half = run_dir / "checkpoints" / ".step-00000003.ckpt.0a1b2c3d.half"
    half.write_bytes(b"torn")
    only_training(run_dir, "budget.images=48", "resume=true")
    assert not half.exists()


def test_only_a_full_disk_is_told_in_one_line(tmp_path):
    with (
        pytest.raises(Failed, match="nothing was saved before; make room"),
        disk_full_guard(tmp_path, tmp_path / "last.ckpt"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(PermissionError),
        disk_full_guard(tmp_path, tmp_path / "last.ckpt"),
    ):
        raise PermissionError(errno.EACCES, "Permission denied")


def written_by_hand(folder) -> Checkpoints:
    callback = Checkpoints(folder, minutes=1e9, steps=0, keep=1)
    trainer = SimpleNamespace(
        global_step=1,
        is_global_zero=True,
        save_checkpoint=lambda path: DirectCheckpointIO().save_checkpoint(
            {"weights": torch.zeros(9)}, path
        ),
    )
    callback.write(trainer)
    return callback


def test_a_checkpoint_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events: list[tuple[str, str, int]] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append(("fsync", name, os.fstat(descriptor).st_size))
        fsync(descriptor)

    def renamed(old, new) -> None:
        events.append(("rename", os.path.basename(new), os.path.getsize(old)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    whole = written_by_hand(tmp_path).last.stat().st_size
    for name in ("step-00000001.ckpt", "last.ckpt"):
        at = events.index(("rename", name, whole))
        assert any(
            what == "fsync" and file.endswith(".half") and size == whole
            for what, file, size in events[:at]
        )


def test_where_there_are_no_hard_links_the_last_one_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    last_one = written_by_hand(tmp_path).last
    assert last_one.read_bytes() == (tmp_path / "step-00000001.ckpt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "step-00000001.ckpt"]


class Trainer(SimpleNamespace):
    """As much of Lightning's as a checkpoint needs; ``saved``: steps that were written."""

    accumulate_grad_batches = 1

    def save_checkpoint(self, path) -> None:
        self.saved.append(self.global_step)
        if self.is_global_zero:
            path.write_bytes(b"%d" % self.global_step)


def trainer_of(**traits) -> Trainer:
    alone = {"global_step": 0, "is_global_zero": True, "world_size": 1, "saved": []}
    strategy = SimpleNamespace(broadcast=lambda value: value)
    return Trainer(**{"strategy": strategy, **alone, **traits})


def run_of(steps: int, callback: Checkpoints, trainer: Trainer, clock=None, each: float = 0.0):
    callback.on_train_start(trainer)
    for step in range(trainer.global_step + 1, trainer.global_step + steps + 1):
        trainer.global_step = step
        if clock is not None:
            clock[0] += each
        callback.on_train_batch_end(trainer, None, None, None, step - 1)
    return trainer.saved


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("steps", "minutes", "written"),
    [
        (3, 1e9, [3, 6, 9]),
        (0, 1e9, []),
        (0, 0.5, [3, 6, 9]),  # ten seconds a step: each third step is half a minute later
        (4, 0.5, [3, 4, 7, 8]),
    ],
)
def test_a_checkpoint_is_written_by_steps_and_by_minutes(steps, minutes, written, tmp_path, clock):
    callback = Checkpoints(tmp_path, minutes=minutes, steps=steps, keep=9)
    assert run_of(9, callback, trainer_of(), clock, each=10.0) == written


@pytest.mark.parametrize(("every", "written"), [(1, [3, 6, 9]), (2, [4, 8]), (5, [5, 10])])
def test_several_processes_ask_the_first_whether_it_is_time(every, written, tmp_path, clock):
    asked = []

    def broadcast(due: bool) -> bool:
        asked.append(due)
        return due

    trainer = trainer_of(world_size=2, strategy=SimpleNamespace(broadcast=broadcast))
    callback = Checkpoints(tmp_path, minutes=0.5, steps=0, keep=9, every=every)
    assert run_of(10, callback, trainer, clock, each=10.0) == written
    assert len(asked) == 10 // every


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_are_kept_and_the_last_is_the_newest_of_them(keep, tmp_path):
    run_of(7, Checkpoints(tmp_path, minutes=1e9, steps=1, keep=keep), trainer_of())
    kept = [f"step-{step:08d}.ckpt" for step in range(8 - keep, 8)]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", *kept]
    assert (tmp_path / "last.ckpt").read_bytes() == b"7"


def test_a_step_that_is_there_is_not_written_again(tmp_path):
    callback = Checkpoints(tmp_path, minutes=1e9, steps=2, keep=9)
    trainer = trainer_of(global_step=4)  # resumed
    callback.on_train_start(trainer)
    callback.on_train_end(trainer)
    assert trainer.saved == []
    assert run_of(2, callback, trainer) == [6]
    callback.on_train_end(trainer)
    assert trainer.saved == [6]
    trainer.global_step = 7
    callback.on_train_end(trainer)
    assert trainer.saved == [6, 7]


def test_a_run_that_never_took_a_step_is_written_too(tmp_path):
    callback, trainer = Checkpoints(tmp_path, minutes=1e9, steps=0, keep=1), trainer_of()
    callback.on_train_start(trainer)
    callback.on_train_end(trainer)
    assert trainer.saved == [0]


@pytest.mark.parametrize(
    ("error", "processes", "step", "written"),
    [
        (KeyboardInterrupt(), 1, 3, [3]),
        (SystemExit(), 1, 3, [3]),
        (KeyboardInterrupt(), 2, 3, []),  # others may be anywhere
        (ValueError(), 1, 3, []),
        (KeyboardInterrupt(), 1, 2, []),  # it is there
    ],
)
def test_an_interruption_writes_the_last_step(error, processes, step, written, tmp_path):
    callback = Checkpoints(tmp_path, minutes=1e9, steps=0, keep=1)
    trainer = trainer_of(global_step=2, world_size=processes)
    callback.on_train_start(trainer)
    trainer.global_step = step
    callback.on_exception(trainer, None, error)
    assert trainer.saved == written
    before = trainer_of(global_step=2)
    Checkpoints(tmp_path, minutes=1e9, steps=0, keep=1).on_exception(before, None, error)
    assert before.saved == []  # training had not begun


def test_a_process_that_follows_takes_part_and_touches_nothing(tmp_path):
    (tmp_path / ".step-1.half").write_text("of the first")
    (tmp_path / "step-00000001.ckpt").write_text("of the first")
    trainer = trainer_of(is_global_zero=False, world_size=2)
    assert run_of(3, Checkpoints(tmp_path, minutes=1e9, steps=1, keep=1), trainer) == [1, 2, 3]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        ".step-1.half",
        "step-00000001.ckpt",
    ]


def test_of_a_step_in_shards_only_the_last_shard_ends_it(tmp_path):
    trainer = trainer_of(accumulate_grad_batches=2)
    callback = Checkpoints(tmp_path, minutes=1e9, steps=1, keep=9)
    callback.on_train_start(trainer)
    for shard in range(4):
        trainer.global_step = (shard + 1) // 2
        callback.on_train_batch_end(trainer, None, None, None, shard)
    assert trainer.saved == [1, 2]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_what_is_left_and_how_to_go_on(number, tmp_path):
    (tmp_path / "last.ckpt").write_text("whole")
    with (
        pytest.raises(
            Failed, match=r"last\.ckpt is whole; make room; go on with run_dir=.* resume"
        ),
        disk_full_guard(tmp_path, tmp_path / "last.ckpt"),
    ):
        raise OSError(number, "no room")


def test_why_torch_could_not_write_is_told_by_the_system(tmp_path, monkeypatch):
    def refuse(*_):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(OSError, match="No space left on device"):
        DirectCheckpointIO().save_checkpoint({}, tmp_path / "a")

    def other(*_):
        raise RuntimeError("no tensor")

    monkeypatch.setattr(torch, "save", other)
    with pytest.raises(RuntimeError, match="no tensor"):
        DirectCheckpointIO().save_checkpoint({}, tmp_path / "a")
