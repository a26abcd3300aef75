"""Headers are read first, and a quarantine list leaves files out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ssl_patches.data.files import read_skip, write_quarantine


def test_the_list_may_be_written_by_hand_and_must_be_of_these_images(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.png\nb,c.png\n")
    assert read_skip(str(tmp_path / "list.txt"), ["a.png", "z.png"], where="data.root=x") == {
        "a.png"
    }
    with pytest.raises(
        ValueError,
        match=r"data.skip=.*none of its 2 paths .* is an image of data.root=x; leave it out",
    ):
        read_skip(str(tmp_path / "list.txt"), ["z.png"], where="data.root=x")
    with pytest.raises(ValueError, match=r"data.skip=gone.csv: cannot be read"):
        read_skip("gone.csv", ["z.png"], where="data.root=x")


def test_paths_of_any_bytes_and_formulas_come_back_from_a_quarantine_list(tmp_path: Path) -> None:
    paths = [
        "=1+1.png",
        "-a.png",
        "+b.png",
        "@c.png",
        "d,e.png",
        "'=f.png",
        "gr\udcfc.png",
    ]
    write_quarantine(tmp_path / "list.csv", [(path, "=cut\udcfc\x1b") for path in paths])
    assert read_skip(str(tmp_path / "list.csv"), paths, where="x") == set(paths)
    content = (tmp_path / "list.csv").read_bytes()
    assert b"gr\xfc.png" in content  # as on the disk
    assert b"\x1b" not in content
    assert not any(line.startswith((b"=", b"+", b"-", b"@")) for line in content.splitlines())


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(ValueError, match="no ordinary file"):
        read_skip(str(tmp_path / "list.csv"), ["a.png"], where="x")
