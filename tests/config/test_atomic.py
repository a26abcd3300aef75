"""A reader sees the old content or the new one, and what could not be written leaves nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from pathlib import Path

import pytest
from small import REPOSITORY

from ssl_patches.config import atomic
from ssl_patches.config.atomic import replacing, replacing_folder, write_json, write_text

RENAMES = {
    "config/atomic.py": "the one place",
    "config/run_dir.py": "what is removed is first no run any more",
    "studies/tuning.py": "a trial is no run any more; nothing is replaced",
}
"""Files of the package that may rename, and why."""


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    file = tmp_path / "file"
    write_text(file, "old")
    with replacing(file) as aside:
        aside.write_text("ne")
        assert file.read_text() == "old"
        aside.write_text("new")
    assert file.read_text() == "new"
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("durable", [False, True])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, durable):
    file = tmp_path / "file"
    write_text(file, "old")

    def fill_up() -> None:
        with replacing(file, durable=durable) as aside:
            aside.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fill_up()
    assert file.read_text() == "old"
    assert names(tmp_path) == {"file"}


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "file").read_text() == "one"


def test_it_is_written_in_the_folder_given(tmp_path):
    (tmp_path / "parts").mkdir()
    with replacing(tmp_path / "file", folder=tmp_path / "parts") as aside:
        assert aside.parent == tmp_path / "parts"
        aside.write_text("rows")
    assert (tmp_path / "file").read_text() == "rows"


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What is flushed and renamed, in order; names of what is aside are shortened."""
    seen: list[str] = []

    def short(path: Path) -> str:
        return re.sub(r"\.(\w+)\.[0-9a-f]+\.(half|tmp)", r"aside of \1", str(path.name))

    rename = os.rename
    monkeypatch.setattr(atomic, "flush", lambda path: seen.append(f"flush {short(path)}"))
    for name in ("rename", "replace"):
        monkeypatch.setattr(
            os,
            name,
            lambda old, new: (rename(old, new), seen.append(f"{short(old)} -> {short(new)}")),
        )
    return seen


def test_what_is_durable_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path, calls
):
    (tmp_path / "here").mkdir()
    with replacing(tmp_path / "here" / "file", durable=True) as aside:
        aside.write_text("rows")
    assert calls == ["flush aside of file", "aside of file -> file", "flush here"]
    calls.clear()
    with replacing_folder(tmp_path / "here" / "out", durable=True) as aside:
        (aside / "rows").write_text("rows")
    assert calls == ["flush rows", "flush aside of out", "aside of out -> out", "flush here"]


@pytest.mark.parametrize("old", [None, "old"])
def test_a_folder_appears_whole_or_the_old_one_stands(tmp_path, old):
    folder = tmp_path / "out"
    if old:
        folder.mkdir()
        (folder / "file").write_text(old)

    def fill_up() -> None:
        with replacing_folder(folder) as aside:
            (aside / "file").write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fill_up()
    assert names(tmp_path) == ({"out"} if old else set())
    with replacing_folder(folder) as aside:
        assert not names(aside)
        (aside / "file").write_text("new")
        assert folder.exists() == bool(old)
    assert (folder / "file").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_a_folder_that_cannot_be_moved_there_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("old")
    rename = os.rename

    def refuse_new(source: Path, target: Path) -> None:
        if target == tmp_path / "out" and source.name.endswith("half"):
            raise OSError("no")
        rename(source, target)

    def fill() -> None:
        with replacing_folder(tmp_path / "out", aside=tmp_path / ".half") as aside:
            (aside / "file").write_text("new")
            monkeypatch.setattr(os, "rename", refuse_new)

    with pytest.raises(OSError, match="no"):
        fill()
    assert (tmp_path / "out" / "file").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_what_a_killed_process_left_under_a_known_name_goes_first(tmp_path):
    (tmp_path / ".half").mkdir()
    (tmp_path / ".half" / "rest").write_text("of a killed process")
    with replacing_folder(tmp_path / "out", aside=tmp_path / ".half") as aside:
        (aside / "file").write_text("new")
    assert names(tmp_path) == {"out"}
    assert names(tmp_path / "out") == {"file"}


def test_what_killed_processes_left_long_ago_is_tidied_and_nothing_else(tmp_path):
    mine, other = ".a.npz.0123abcd.half", ".b.npz.0123abcd.half"
    stay = {"a.npz", ".a.npz.half", ".a.npz.notours.half", ".a.npz.89ab0123.half"}
    for name in (mine, other, *stay):
        (tmp_path / name).write_text("torn")
        old = time.time() - atomic.ABANDONED - 60
        if name != ".a.npz.89ab0123.half":  # somebody writes it now
            os.utime(tmp_path / name, (old, old))
    atomic.tidy(tmp_path, "a.npz")
    assert names(tmp_path) == stay | {other}
    atomic.tidy(tmp_path)
    assert names(tmp_path) == stay


def test_no_other_file_writes_aside_and_renames_by_itself():
    package = REPOSITORY / "ssl_patches"
    call = re.compile(r"os\.(replace|rename)\(|\.rename\(|shutil\.move\(|NamedTemporaryFile\(")
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if call.search(file.read_text(encoding="utf-8"))
    }
    assert found == set(RENAMES)


def test_json_is_read_back_and_what_has_no_form_in_it_is_refused(tmp_path):
    write_json(tmp_path / "file", {"a": [1, None, "ü"]})
    assert json.loads((tmp_path / "file").read_text(encoding="utf-8")) == {"a": [1, None, "ü"]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "file", {"a": object()})


class Rusty(Exception):
    """As safetensors tells what a system said: in a class of its own, with the number as text."""


def torch_writes() -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError:
        raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 - as torch's writer does it


def full_write() -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")


def rust_writes() -> None:
    raise Rusty("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("write", [full_write, torch_writes, rust_writes])
@pytest.mark.parametrize("writer", [replacing, replacing_folder])
def test_a_full_disk_names_what_was_being_written_whichever_library_met_it(tmp_path, writer, write):
    def fill_up() -> None:
        with writer(tmp_path / "out"):
            write()

    with pytest.raises(OSError, match="No space left") as told:
        fill_up()
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(tmp_path / "out"))
    assert not names(tmp_path)


def test_an_error_that_is_none_of_the_system_passes_through_as_it_is(tmp_path):
    for error in (RuntimeError("a bug"), OSError("of ours"), ValueError("28"), KeyError("x")):

        def fail(error=error) -> None:
            with replacing(tmp_path / "out"):
                raise error

        with pytest.raises(type(error)) as told:
            fail()
        assert told.value is error
