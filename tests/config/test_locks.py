"""At most one process works in a run directory, whatever is killed and whoever comes at the same
time."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ssl_patches.config import locks
from ssl_patches.config.owners import start_of

RACER = """
import sys, time
from pathlib import Path
from ssl_patches.config import locks
directory, start, log = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
print("ready", flush=True)
while not start.exists():
    pass
with locks.locked(directory) as ours:
    if ours:
        with log.open("a") as file:
            file.write("in\\n")
        time.sleep(0.3)
        with log.open("a") as file:
            file.write("out\\n")
"""
HOLDER = """
import sys, time
from pathlib import Path
from ssl_patches.config import locks
with locks.locked(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def start(code: str, *words: object) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    process.said = process.stdout.readline().strip()
    return process


@pytest.fixture
def killed(tmp_path) -> Path:
    """A directory whose owner was killed without a word."""
    directory = tmp_path / "cell"
    process = start(HOLDER, directory)
    assert process.said == "True"
    process.kill()
    process.wait()
    return directory


def test_of_processes_that_find_the_same_owner_dead_exactly_one_works_at_a_time(killed, tmp_path):
    racers = [start(RACER, killed, tmp_path / "go", tmp_path / "log") for _ in range(4)]
    (tmp_path / "go").touch()
    assert [racer.wait(60) for racer in racers] == [0] * 4
    events = (tmp_path / "log").read_text().split()
    assert events == ["in", "out"] * (len(events) // 2)
    assert events


def test_the_race_is_seen_when_claims_do_not_exclude(killed, tmp_path):
    """The test above catches a broken claim: here, whoever finds the owner dead simply goes in."""
    lax = "locks._acquire = lambda at: at / 'anything'\nlocks._release = lambda at: None\n"
    broken = RACER.replace("directory, start", f"{lax}directory, start", 1)
    racers = [start(broken, killed, tmp_path / "go", tmp_path / "log") for _ in range(4)]
    (tmp_path / "go").touch()
    assert [racer.wait(60) for racer in racers] == [0] * 4
    events = (tmp_path / "log").read_text().split()
    assert events != ["in", "out"] * (len(events) // 2)


def test_a_live_owner_is_named_and_cannot_be_displaced(tmp_path):
    directory = tmp_path / "cell"
    process = start(HOLDER, directory)
    try:
        owner = locks.owner(directory)
        assert owner.pid == process.pid
        assert owner.start != start_of(os.getpid())
        with locks.locked(directory) as ours:
            assert not ours
        with pytest.raises(ValueError, match=f"process {process.pid} on .* works in it"):
            locks.refuse_others(directory)
    finally:
        process.kill()
        process.wait()
    assert locks.owner(directory) is None
    assert locks.left_behind(directory)
    with locks.locked(directory) as ours:
        assert ours
    assert not locks.left_behind(directory)


def test_a_zombie_is_no_owner(tmp_path):
    process = start(HOLDER, tmp_path / "cell")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert locks.owner(tmp_path / "cell") is None
    process.wait()


def claim_of(directory: Path, **changes: object) -> Path:
    """A claim of another machine, or of a process that differs in ``changes``."""
    with locks.locked(directory):
        file = max((directory.parent / locks.FOLDER).iterdir())
        content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"released": False} | changes))
    return file


@pytest.mark.parametrize("machine", ["!", "another", "~"])
def test_another_machine_is_believed_while_its_heart_beats(machine, tmp_path):
    file = claim_of(tmp_path / "cell", machine=machine, host="another")
    assert locks.owner(tmp_path / "cell").host == "another"
    with locks.locked(tmp_path / "cell") as ours:
        assert not ours
    past = time.time() - locks.SILENCE - 1
    os.utime(file, (past, past))
    with locks.locked(tmp_path / "cell") as ours:
        assert ours


def test_a_process_number_used_again_is_not_the_owner(tmp_path):
    claim_of(tmp_path / "cell", pid=os.getpid(), start="another time")
    assert locks.owner(tmp_path / "cell") is None


def test_the_heart_beats_whatever_older_locks_are_left(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT", 0.02)
    with locks.locked(tmp_path / "cell"):
        file = next((tmp_path / locks.FOLDER).iterdir())
        (tmp_path / locks.FOLDER / "cell.0").write_bytes(file.read_bytes())
        os.utime(file, (0, 0))
        end = time.monotonic() + 10
        while file.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert time.time() - file.stat().st_mtime < 5


def test_who_was_taken_over_while_it_stood_still_ends(tmp_path):
    """A laptop that slept must not go on writing into what another machine works on."""
    code = HOLDER.replace("with locks", "locks.HEARTBEAT = 0.2\nwith locks")
    process = start(code, tmp_path / "cell")
    process.send_signal(signal.SIGSTOP)
    taken = tmp_path / locks.FOLDER / "cell.2"
    taken.write_text(next((tmp_path / locks.FOLDER).iterdir()).read_text())
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 1


def test_a_number_that_was_used_and_tidied_away_is_not_used_again(tmp_path):
    """One that looked long ago, and links its file only now, finds that others have come and gone
    since."""
    directory = tmp_path / "cell"
    for _ in range(3):
        with locks.locked(directory) as ours:
            assert ours
    before = locks._newest
    try:
        locks._newest = lambda at: (1, None)  # what it saw
        assert locks._acquire(directory) is None
    finally:
        locks._newest = before
    assert [file.name for file in (tmp_path / locks.FOLDER).iterdir()] == ["cell.3"]


def test_a_gap_that_was_filled_may_be_tidied_by_another(tmp_path, monkeypatch):
    directory, files = tmp_path / "cell", locks._files
    for _ in range(3):
        with locks.locked(directory):
            pass

    def tidied(place: Path) -> list[Path]:
        found = files(place)
        (tmp_path / locks.FOLDER / "cell.2").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(locks, "_files", tidied)
    monkeypatch.setattr(locks, "_newest", lambda at: (1, None))
    assert locks._acquire(directory) is None


def test_a_lock_that_is_just_being_written_is_waited_for(tmp_path):
    file = claim_of(tmp_path / "cell", machine="another", host="there")
    content = file.read_text()
    file.write_text("")
    writing = threading.Timer(0.1, lambda: file.write_text(content))
    writing.start()
    assert locks.owner(tmp_path / "cell").host == "there"
    writing.join()


def test_folders_that_are_not_there_yet_are_made(tmp_path):
    with locks.locked(tmp_path / "runs" / "today" / "cell") as ours:
        assert ours
        assert locks.owner(tmp_path / "runs" / "today" / "cell").pid == os.getpid()


def test_names_that_begin_alike_are_told_apart(tmp_path):
    with (
        locks.locked(tmp_path / "cell.1"),
        locks.locked(tmp_path / "cell") as ours,
        locks.locked(tmp_path / "ce[l]l") as third,
    ):
        assert ours
        assert third
        assert locks.owner(tmp_path / "cel") is None


def test_a_block_within_the_block_is_part_of_it_and_an_error_releases(tmp_path):
    with (
        pytest.raises(ValueError, match="inside"),
        locks.locked(tmp_path / "cell"),
        locks.exclusive(tmp_path / "cell"),
    ):
        raise ValueError("inside")
    assert locks.owner(tmp_path / "cell") is None
    assert not locks.left_behind(tmp_path / "cell")


def test_a_file_that_is_no_claim_is_told(tmp_path):
    (tmp_path / locks.FOLDER).mkdir()
    (tmp_path / locks.FOLDER / "cell.1").write_text("{}")
    with pytest.raises(ValueError, match="is no lock of ssl-patches"):
        locks.owner(tmp_path / "cell")


def test_where_there_are_no_hard_links_one_of_two_still_gets_the_lock(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with locks.locked(tmp_path / "run") as ours:
        assert ours
        assert locks._acquire(tmp_path / "run") is None
    with locks.locked(tmp_path / "run") as ours:
        assert ours


def test_where_locks_cannot_be_kept_the_run_goes_on_and_it_is_said(tmp_path, monkeypatch, capsys):
    def refuse(directory):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(locks, "_acquire", refuse)
    with locks.locked(tmp_path / "run") as ours:
        assert ours
    assert "nothing keeps a second process out of" in capsys.readouterr().err


def test_who_is_silent_for_ten_minutes_elsewhere_is_gone():
    assert (locks.HEARTBEAT, locks.SILENCE) == (30, 600)


@pytest.mark.parametrize("age", [0, locks.SILENCE - 60, locks.SILENCE + 60])
def test_where_the_folder_may_only_be_read_this_clock_tells_the_age(age, tmp_path, monkeypatch):
    file = claim_of(tmp_path / "cell", machine="another")
    past = time.time() - age
    os.utime(file, (past, past))

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    assert (locks.owner(tmp_path / "cell") is not None) is (age < locks.SILENCE)


def test_a_lock_that_went_meanwhile_has_no_owner(tmp_path):
    file = claim_of(tmp_path / "cell", machine="another")
    _, last = locks._newest(tmp_path / "cell")
    assert locks._alive(last, file)
    file.unlink()
    assert not locks._alive(last, file)
    assert locks._newest(tmp_path / "cell") == (0, None)
    assert not locks.left_behind(tmp_path / "cell")


def test_a_folder_of_locks_that_goes_while_one_is_made_is_made_again(tmp_path, monkeypatch):
    link, times = locks.link, []

    def gone(aside, file):
        times.append(file)
        if len(times) < 3:
            aside.unlink()
            file.parent.rmdir()
            raise FileNotFoundError(file)
        link(aside, file)

    monkeypatch.setattr(locks, "link", gone)
    assert locks._acquire(tmp_path / "cell") == tmp_path / locks.FOLDER / "cell.1"
    assert [file.name for file in (tmp_path / locks.FOLDER).iterdir()] == ["cell.1"]


def test_an_older_lock_that_somebody_else_tidied_is_no_mistake(tmp_path, monkeypatch):
    files = locks._files
    with locks.locked(tmp_path / "cell"):
        pass
    ghost = tmp_path / locks.FOLDER / "cell.0"
    monkeypatch.setattr(locks, "_files", lambda place: [*files(place), ghost])
    monkeypatch.setattr(locks, "_newest", lambda place: (1, None))
    assert locks._acquire(tmp_path / "cell") == tmp_path / locks.FOLDER / "cell.2"


def test_removing_takes_the_locks_of_one_directory_and_an_empty_folder(tmp_path):
    for name in ("cell", "other"):
        claim_of(tmp_path / name)
    locks.remove_locks(tmp_path / "cell")
    assert [file.name for file in (tmp_path / locks.FOLDER).iterdir()] == ["other.1"]
    locks.remove_locks(tmp_path / "other")
    assert not (tmp_path / locks.FOLDER).exists()
    locks.remove_locks(tmp_path / "other")


def test_exclusive_tells_who_works_there_or_that_somebody_did(tmp_path, monkeypatch):
    file = claim_of(tmp_path / "cell", machine="another", host="there", pid=7)
    with (
        pytest.raises(ValueError, match=r"process 7 on there works in it; wait for it"),
        locks.exclusive(tmp_path / "cell"),
    ):
        pass
    file.unlink()
    monkeypatch.setattr(locks, "_acquire", lambda _: None)
    with (
        pytest.raises(ValueError, match="another process has just used it; try again"),
        locks.exclusive(tmp_path / "cell"),
    ):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ESTALE])
def test_only_places_that_cannot_be_written_do_without_a_lock(number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, "not now")

    monkeypatch.setattr(locks, "link", refuse)
    with pytest.raises(OSError, match="not now"), locks.locked(tmp_path / "run"):
        pass
    assert list((tmp_path / locks.FOLDER).iterdir()) == []


def test_a_directory_that_is_removed_with_its_locks_is_released_all_the_same(tmp_path):
    with locks.locked(tmp_path / "cell"):
        locks.remove_locks(tmp_path / "cell")
    assert locks.owner(tmp_path / "cell") is None
    with locks.locked(tmp_path / "cell") as ours:
        assert ours


def test_a_lock_of_another_format_is_not_believed(tmp_path):
    (tmp_path / locks.FOLDER).mkdir()
    for text in ("[]", '{"pid": 1}', "not JSON", '{"host": "a", "more": 1}'):
        (tmp_path / locks.FOLDER / "cell.1").write_text(text)
        with pytest.raises(ValueError, match="is no lock of ssl-patches; delete it"):
            locks.owner(tmp_path / "cell")
