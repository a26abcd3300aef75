"""The table of a list has its order, and what the headers of its files say."""

from __future__ import annotations

from plain_files import FILES

from ssl_patches.data.index.lists import listed_table
from ssl_patches.data.index.table import CORRUPT, OK


def test_files_are_in_the_order_of_the_list_with_their_headers(tmp_path) -> None:
    (tmp_path / "b.png").write_bytes(FILES["rgb.png"])
    (tmp_path / "a.jpg").write_bytes(FILES["rgb.jpg"])
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    table = listed_table(["b.png", "gone.png", "bad.jpg", "a.jpg"], str(tmp_path), channels=3)
    assert table.columns["states"].tolist() == [OK, CORRUPT, CORRUPT, OK]
    assert table.columns["extents"].tolist() == [[37, 23], [0, 0], [0, 0], [37, 23]]
    sizes = table.columns["sizes"].tolist()
    assert (sizes[0], sizes[3]) == (len(FILES["rgb.png"]), len(FILES["rgb.jpg"]))
    assert sorted(table.reasons) == [1, 2]
