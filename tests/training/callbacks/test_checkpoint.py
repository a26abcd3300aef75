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
