"""What ``statx`` says of files is what ``os.stat`` says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ssl_patches.data import look, statx
from ssl_patches.data.look import FIELDS, MASK, look_into
from ssl_patches.data.statx import dates_folders, statuses

pytestmark = pytest.mark.skipif(statx._statx is None, reason="a system without statx")


def filled(folder: Path, count: int) -> list[bytes]:
    for at in range(count):
        (folder / f"{at:04}.png").write_bytes(b"x" * (at % 7))
        os.utime(folder / f"{at:04}.png", ns=(1, -(10**9) * (at % 3) + at))  # before 1970 too
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("0000.png")
    (folder / "odd \udcff").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe")
    return sorted(map(os.fsencode, os.listdir(folder)))


def asked(folder: Path, names: list[bytes]) -> np.ndarray | None:
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return statuses(here, names)
    finally:
        os.close(here)


@pytest.mark.parametrize("count", [1, 3, statx.FILES + 30])
def test_each_number_is_that_of_stat(tmp_path, count) -> None:
    names = filled(tmp_path, count)
    found = asked(tmp_path, names)
    assert found is not None
    for name, row in zip(names, found.tolist(), strict=True):
        status = os.stat(tmp_path / os.fsdecode(name))
        assert row == [getattr(status, field) & MASK for field in FIELDS[:2]] + [
            getattr(status, field) for field in FIELDS[2:4]
        ] + [getattr(status, field) & MASK for field in FIELDS[4:]]


def test_files_of_several_devices_have_each_their_own(tmp_path) -> None:
    (tmp_path / "other").symlink_to("/proc/self/status")
    (tmp_path / "own").write_bytes(b"")
    found = asked(tmp_path, [b"other", b"own"])
    assert found is not None
    assert found[:, 5].tolist() == [os.stat(tmp_path / name).st_dev for name in ("other", "own")]


def test_one_that_cannot_be_asked_and_no_files_at_all(tmp_path) -> None:
    (tmp_path / "nowhere").symlink_to("gone")
    assert asked(tmp_path, [b"nowhere"]) is None
    found = asked(tmp_path, [])
    assert found is not None
    assert found.shape == (0, 6)


def test_threads_do_not_write_into_each_other(tmp_path) -> None:
    names = filled(tmp_path, 40)
    whole = asked(tmp_path, names)
    wrong = []

    def ask(some: slice) -> None:
        for _ in range(30):
            found = asked(tmp_path, names[some])
            if found is None or not np.array_equal(found, whole[some]):
                wrong.append(some)

    threads = [threading.Thread(target=ask, args=(slice(at, at + 20),)) for at in range(0, 24, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_folder_looks_the_same_with_and_without(tmp_path, monkeypatch) -> None:
    filled(tmp_path, 5)
    (tmp_path / ".hidden").write_bytes(b"1")
    with_it = look_into(str(tmp_path))
    monkeypatch.setattr(look, "statuses", lambda *_: None)
    without = look_into(str(tmp_path))
    assert with_it.mark == without.mark
    assert np.array_equal(with_it.values, without.values)
    for name in ("files", "folders", "special", "hidden_files", "hidden_folders"):
        assert getattr(with_it, name) == getattr(without, name)


def test_file_systems_are_told_apart(tmp_path) -> None:
    if sys.platform == "linux":
        kind = subprocess.run(["stat", "-f", "-c", "%t", tmp_path], capture_output=True, text=True)
        assert dates_folders(str(tmp_path)) == (int(kind.stdout, 16) in statx._DATED)
    assert not dates_folders("/proc")
    assert not dates_folders(str(tmp_path / "gone"))
