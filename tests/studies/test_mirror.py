"""A folder in a store is a whole state of a run, whatever was killed while it was kept."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
import time
from pathlib import Path

import pytest

from ssl_patches.studies import mirror
from ssl_patches.studies.mirror import keeping, pull, push, states
from ssl_patches.studies.object_store import ObjectStore

pytest.importorskip("fsspec", reason="needs ssl-patches[shards]")
PLACE = "cells/jigsaw-0"


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(f"memory://{tmp_path}/store")


@pytest.fixture
def run(tmp_path) -> Path:
    """A run with two checkpoints, the newer of which has two names."""
    folder = tmp_path / "node" / "run"
    (folder / "checkpoints").mkdir(parents=True)
    write_step(folder, 20)
    write_step(folder, 40)
    (folder / "metrics.csv").write_text("step\n40\n")
    return folder


def write_step(folder: Path, step: int) -> None:
    file = folder / "checkpoints" / f"step-{step:08d}.ckpt"
    file.write_text(f"weights of {step}")
    (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
    os.link(file, folder / "checkpoints" / "last.ckpt")


def content(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_text() for file in files}


def test_a_finished_folder_comes_back_as_it_was(store, run, tmp_path) -> None:
    push(store, run, PLACE, finished=True)
    found = pull(store, PLACE, tmp_path / "other", say=pytest.fail)
    assert found is not None
    assert found.finished
    assert content(tmp_path / "other") == content(run)
    names = [
        tmp_path / "other" / "checkpoints" / name for name in ("last.ckpt", "step-00000040.ckpt")
    ]
    assert os.path.samefile(*names)


def test_on_the_way_the_last_checkpoint_goes_alone(store, run, tmp_path) -> None:
    push(store, run, PLACE)
    pull(store, PLACE, tmp_path / "other", say=pytest.fail)
    assert content(tmp_path / "other") == {
        "checkpoints/last.ckpt": "weights of 40",
        "metrics.csv": "step\n40\n",
    }


def test_what_is_half_or_a_lock_or_a_link_stays_behind(store, run, tmp_path) -> None:
    (run / ".claims").mkdir()
    (run / ".claims" / "trial.1").write_text("{}")
    (run / ".metrics.csv.0123abcd.half").write_text("half")
    (run / ".encoder.x.tmp").mkdir()
    (run / ".encoder.x.tmp" / "encoder.onnx").write_text("half")
    (run / "latest").symlink_to("/etc/hostname")
    os.mkfifo(run / "pipe")
    before = {"checkpoints/last.ckpt", "metrics.csv"}
    push(store, run, PLACE)
    pull(store, PLACE, tmp_path / "other", say=pytest.fail)
    assert content(tmp_path / "other").keys() == before


def test_half_an_upload_is_never_taken_for_a_run(store, run, tmp_path) -> None:
    push(store, run, PLACE)
    (run / "metrics.csv").write_text("step\n60\n")
    push(store, run, PLACE)
    newest = f"{PLACE}/{states(store, PLACE)[PLACE][-1].name}"
    store.get(newest, tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-2048])
    store.put(tmp_path / "half", newest)
    said: list[str] = []
    pull(store, PLACE, tmp_path / "other", say=said.append)
    assert content(tmp_path / "other")["metrics.csv"] == "step\n40\n"
    (line,) = said
    assert "is not whole; the state before it is taken" in line


def test_where_nothing_is_whole_nothing_is_touched(store, run, tmp_path) -> None:
    push(store, run, PLACE)
    (state,) = states(store)[PLACE]
    store.write(f"{PLACE}/{state.name}", "half")
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine").write_text("kept")
    assert pull(store, PLACE, there, say=lambda _: None) is None
    assert pull(store, "cells/never", there, say=pytest.fail) is None
    assert content(there) == {"mine": "kept"}


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("/outside", tarfile.REGTYPE, ""),
        ("a", tarfile.SYMTYPE, "/etc"),
        ("a", tarfile.LNKTYPE, "../../outside"),
        ("a", tarfile.FIFOTYPE, ""),
    ],
)
def test_a_strangers_state_writes_nothing_outside(name, kind, link, store, tmp_path) -> None:
    packed = tmp_path / "x.tar"
    with tarfile.open(packed, "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    store.put(packed, f"{PLACE}/000001-{digest}.tar")
    with pytest.raises(ValueError, match="which no run writes; delete it"):
        pull(store, PLACE, tmp_path / "other", say=pytest.fail)
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar"}


def test_two_states_are_kept_and_the_same_one_is_kept_once(store, run) -> None:
    for step in (40, 60, 80):
        (run / "metrics.csv").write_text(f"step\n{step}\n")
        push(store, run, PLACE)
    push(store, run, PLACE)
    assert [state.number for state in states(store)[PLACE]] == [2, 3]


def test_a_finished_state_stands_above_one_that_a_lost_machine_still_kept(
    store, run, tmp_path
) -> None:
    push(store, run, PLACE, finished=True)
    (run / "metrics.csv").write_text("step\n20\n")
    push(store, run, PLACE)
    found = pull(store, PLACE, tmp_path / "other", say=pytest.fail)
    assert found is not None
    assert found.finished
    assert content(tmp_path / "other")["metrics.csv"] == "step\n40\n"


def test_other_objects_are_no_states(store, run) -> None:
    store.write(f"{PLACE}/notes.txt", "mine")
    push(store, run, PLACE)
    assert [*states(store)] == [PLACE]
    assert len(states(store, PLACE)[PLACE]) == 1


def test_each_new_checkpoint_is_kept_beside_the_work(run, monkeypatch) -> None:
    monkeypatch.setattr(mirror, "LOOK", 0.01)
    kept, said, came = [], [], threading.Event()

    def keep() -> None:
        kept.append((run / "checkpoints" / "last.ckpt").read_text())
        came.set()
        if len(kept) == 1:
            raise ValueError("the store is away")

    with keeping(run, keep, say=said.append):
        time.sleep(0.05)
        assert kept == []  # it was there before
        for step in (60, 80):
            came.clear()
            write_step(run, step)
            assert came.wait(10)
    assert kept == ["weights of 60", "weights of 80"]
    assert said == ["run: not kept at this checkpoint: the store is away"]
