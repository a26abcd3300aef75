"""A folder that reads the same twice holds the same files, which nobody wrote in between."""

from __future__ import annotations

import os

import pytest

from ssl_patches.data.look import UNREADABLE, circle, is_as_it_was, look_into


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


@pytest.mark.parametrize(
    "change",
    [
        lambda at: (at / "c.png").write_bytes(b""),
        lambda at: (at / "b.png").unlink(),
        lambda at: (at / "b.png").rename(at / "c.png"),
        lambda at: (at / "a.png").replace(at / "b.png"),
        lambda at: (at / "b.png").write_bytes(b"12345"),
        lambda at: written(at / "b.png"),
        lambda at: (at / "new").mkdir(),
        lambda at: (at / "sub").rename(at / ".sub"),
        lambda at: (at / "gone").write_bytes(b"1234"),
        lambda at: os.mkfifo(at / "pipe.png"),
        lambda at: (at / ".hidden.png").unlink(),
    ],
)
def test_whatever_changes_is_seen(folder, change):
    before = look_into(str(folder)).digest
    assert is_as_it_was(str(folder), before)
    change(folder)
    assert not is_as_it_was(str(folder), before)


def test_names_that_run_together_are_told_apart(tmp_path):
    for name, files in {"one": ["a", "b"], "two": ["ab"]}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).symlink_to("nowhere")
    one, two = (look_into(str(tmp_path / name)).digest for name in ("one", "two"))
    assert one != two


def test_what_is_not_looked_into_is_known_again(tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path)
    seen = circle(os.stat(tmp_path / "circle"))
    assert is_as_it_was(str(tmp_path / "circle"), seen)
    assert not is_as_it_was(str(tmp_path / "circle"), UNREADABLE)
    assert not is_as_it_was(str(tmp_path / "gone"), seen)
