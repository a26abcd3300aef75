"""A folder that reads the same twice holds the same files, which nobody wrote in between."""

from __future__ import annotations

import os
import time

import pytest

from ssl_patches.data import look
from ssl_patches.data.look import UNREADABLE, Mark, circle, is_as_it_was, look_into


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", ".hidden.png"):
        (tmp_path / name).write_bytes(b"1234")
    (tmp_path / "sub").mkdir()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")
    return tmp_path


def written(path):
    before = path.stat()
    path.write_bytes(b"4321")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = [
    lambda at: (at / "c.png").write_bytes(b""),
    lambda at: (at / "b.png").unlink(),
    lambda at: (at / "b.png").rename(at / "c.png"),
    lambda at: (at / "a.png").replace(at / "b.png"),
    lambda at: (at / "b.png").write_bytes(b"12345"),
    lambda at: written(at / "b.png"),
    lambda at: (at / "new").mkdir(),
]


@pytest.mark.parametrize(
    "change",
    [
        *CHANGES,
        lambda at: (at / "sub").rename(at / ".sub"),
        lambda at: (at / "gone").write_bytes(b"1234"),
        lambda at: os.mkfifo(at / "pipe.png"),
        lambda at: (at / ".hidden.png").unlink(),
    ],
)
def test_whatever_changes_is_seen(folder, change):
    before = look_into(str(folder)).mark
    assert is_as_it_was(str(folder), before)
    change(folder)
    assert not is_as_it_was(str(folder), before)


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        *CHANGES,
        lambda at: (at / ".hidden.png").write_bytes(b""),
        lambda at: (at / "z.png").symlink_to("gone"),
    ],
)
def test_whatever_changes_is_seen_where_names_are_not_listed(tmp_path, monkeypatch, change, dated):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"1234")
    if not dated:
        monkeypatch.setattr(look, "dates_folders", lambda _: False)
    before = look_into(str(tmp_path)).mark
    if not dated:
        assert before.dates == ()
    names = b"a.png\0b.png"
    assert is_as_it_was(str(tmp_path), before, names)
    dates = tmp_path.stat()
    time.sleep(0.01)  # a tick of the file system's clock
    change(tmp_path)
    os.utime(tmp_path, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # who changed it hides it
    assert not is_as_it_was(str(tmp_path), before, names)


def test_names_are_listed_again_only_where_the_folder_was_changed(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"1234")
    monkeypatch.setattr(look, "dates_folders", lambda _: True)
    mark, listed, lists = look_into(str(tmp_path)).mark, [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda at: listed.append(at) or lists(at))
    assert is_as_it_was(str(tmp_path), mark, b"a.png")
    assert not listed
    time.sleep(0.01)
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "b.png").unlink()
    assert is_as_it_was(str(tmp_path), mark, b"a.png")
    assert len(listed) == look.BY_FOLDER


@pytest.mark.parametrize("other", ["hidden", "folder", "link to nowhere"])
def test_a_folder_that_holds_more_than_visible_files_is_listed_each_time(tmp_path, other):
    (tmp_path / "a.png").write_bytes(b"1234")
    if other == "hidden":
        (tmp_path / ".b.png").write_bytes(b"")
    elif other == "folder":
        (tmp_path / "b").mkdir()
    else:
        (tmp_path / "b.png").symlink_to("gone")
    assert look_into(str(tmp_path)).mark.dates == ()


def test_names_that_run_together_are_told_apart(tmp_path):
    for name, files in {"one": ["a", "b"], "two": ["ab"]}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).symlink_to("nowhere")
    one, two = (look_into(str(tmp_path / name)).mark.digest for name in ("one", "two"))
    assert one != two


def test_what_is_not_looked_into_is_known_again(tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path)
    seen = Mark(circle(os.stat(tmp_path / "circle")))
    assert is_as_it_was(str(tmp_path / "circle"), seen)
    assert not is_as_it_was(str(tmp_path / "circle"), Mark(UNREADABLE))
    assert not is_as_it_was(str(tmp_path / "gone"), seen)
