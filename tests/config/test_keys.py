"""A key changes with everything that decides what is kept under it."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from ssl_patches.config import keys
from ssl_patches.config.keys import changed_after, content_of, files_state, key_of


def files(folder: Path, *contents: bytes) -> list[str]:
    folder.mkdir(exist_ok=True)
    for at, content in enumerate(contents):
        (folder / str(at)).write_bytes(content)
    return [str(folder / str(at)) for at in range(len(contents))]


def test_everything_by_name_decides_and_its_order_does_not() -> None:
    assert key_of(a=1, b=[2]) == key_of(b=[2], a=1)
    assert len({key_of(a=1, b=2), key_of(a=1), key_of(a=2, b=1), key_of(a="1", b=2)}) == 4


def test_a_file_that_is_written_anew_is_another_one_here(tmp_path: Path) -> None:
    paths = files(tmp_path / "a", b"one", b"two")
    before = files_state(paths)
    assert files_state(paths) == before
    os.utime(paths[1], ns=(1, 1))
    assert files_state(paths) != before
    Path(paths[0]).unlink()
    assert len({before, files_state(paths), files_state(paths[::-1])}) == 3


def test_what_changed_meanwhile_is_found_whatever_its_date_says(tmp_path: Path) -> None:
    paths = files(tmp_path / "a", b"one", b"two", b"three")
    assert changed_after(paths, time.time() + 1) == []
    moment = max(os.stat(path).st_ctime for path in paths) - keys.SKEW + 0.001
    time.sleep(0.02)
    (tmp_path / "a" / "1").write_bytes(b"TWO")
    os.utime(paths[1], ns=(1, 1))  # the date of a photograph, say
    Path(paths[2]).unlink()
    assert changed_after(paths, moment) == paths[1:]


def test_of_very_many_files_some_are_looked_at(tmp_path: Path, monkeypatch) -> None:
    paths = files(tmp_path / "a", *(b"x" for _ in range(9)))
    monkeypatch.setattr(keys, "LOOKED_AT", 8)
    monkeypatch.setattr(keys, "FILES", 5)
    found = changed_after(paths, 0.0)
    assert len(found) == 5
    assert found == changed_after(paths, 0.0)
    assert changed_after(paths[:8], 0.0) == paths[:8]


def test_content_is_known_again_elsewhere_and_only_as_it_is(tmp_path: Path) -> None:
    paths = files(tmp_path / "a", b"one", b"two")
    copied = [
        str(Path(shutil.copy(path, tmp_path)).rename(tmp_path / f"{i}b"))
        for i, path in enumerate(paths)
    ]
    assert content_of(copied) == content_of(paths)
    assert content_of(paths[::-1]) != content_of(paths)
    Path(paths[1]).write_bytes(b"owt")  # the same size
    assert content_of(copied) != content_of(paths)


@pytest.mark.parametrize("at", [0, 5 * 2**20 // 2, 5 * 2**20 - 1])
def test_of_a_large_file_blocks_are_read_with_its_ends(tmp_path: Path, at: int) -> None:
    content = bytearray(5 * 2**20)
    (path,) = files(tmp_path / "a", bytes(content))
    before = content_of([path])
    block = max(0, at - 2**18)
    content[block : at + 2**18] = b"x" * (at + 2**18 - block)
    Path(path).write_bytes(content[: 5 * 2**20])
    assert content_of([path]) != before


def test_of_many_files_as_many_are_read_as_is_allowed(tmp_path: Path, monkeypatch) -> None:
    paths = files(tmp_path / "a", *(b"x%d" % at for at in range(40)))
    asked: list[str] = []
    read = keys._read
    monkeypatch.setattr(keys, "_read", lambda path: (asked.append(path), read(path))[1])
    monkeypatch.setattr(keys, "FILES", 8)
    assert content_of(paths) == content_of(paths)
    assert (len(asked), len(set(asked))) == (16, 8)
    monkeypatch.setattr(keys, "BYTES", 3)
    content_of(paths)
    assert len(asked) == 17


@pytest.mark.parametrize("files", [1, 4, 50])
def test_the_files_that_are_read_are_those_of_the_least_digests(monkeypatch, files) -> None:
    monkeypatch.setattr(keys, "FILES", files)
    for count in (*range(30), 200, 1000, 1001):
        digests = [(hashlib.blake2b(b"%d" % at, digest_size=8).digest(), at) for at in range(count)]
        assert keys._spread(count) == [at for _, at in sorted(digests)[:files]]
