"""Headers are read first, and a quarantine list leaves files out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches.data.files import read_skip


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
