"""Headers are read of what is new; what was just written is not believed next time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from plain_files import FILES

from ssl_patches.data.index import known
from ssl_patches.data.index.known import with_headers
from ssl_patches.data.index.walked import walked


@pytest.mark.parametrize(("racy", "believed"), [(0, True), (10**18, False)])
def test_a_table_is_believed_where_its_files_are_at_rest(
    tmp_path: Path, monkeypatch, racy: int, believed: bool
) -> None:
    monkeypatch.setattr(known, "RACY", racy)
    (tmp_path / "1.png").write_bytes(FILES["rgb.png"])
    time.sleep(0.01)  # a tick of the file system's clock
    table, changed = walked(str(tmp_path))
    full = with_headers(table, changed, None, 3, time.time_ns())
    assert full.columns["extents"].tolist() == [[37, 23]]  # width, height
    assert bool(full.state) == believed
    assert bool(full.columns["stamps"].all()) == believed


def test_what_was_known_is_taken_over_without_a_look(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "1.png").write_bytes(FILES["rgb.png"])
    monkeypatch.setattr(known, "RACY", 0)
    time.sleep(0.01)
    table, changed = walked(str(tmp_path))
    before = with_headers(table, changed, None, 3, time.time_ns())
    before.columns["extents"][:] = 7  # nobody looks
    again, changed = walked(str(tmp_path))
    assert with_headers(again, changed, before, 3, time.time_ns()).columns["extents"].tolist() == [
        [7, 7]
    ]
