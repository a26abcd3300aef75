"""A walk tells every file apart from what it was before, without opening it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ssl_patches.data.index import walked as module
from ssl_patches.data.index.walked import walked


def test_stamps_differ_where_anything_does() -> None:
    draw = np.random.default_rng(0).integers(0, 2**62, (4000, 5))
    other = draw.copy()
    other[np.arange(4000), np.arange(4000) % 4] += 1
    both = np.concatenate([module.stamps_of(draw), module.stamps_of(other)])
    assert len(np.unique(both)) == 8000
    assert both.min() > 0


def test_nothing_is_opened_and_links_to_nowhere_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    os.symlink("nowhere.png", tmp_path / "2.png")
    table, changed = walked(str(tmp_path))
    assert table.names_between(0, len(table)) == ["2.png", "a/1.png"]
    assert table.columns["sizes"].tolist() == [0, 8]
    assert len(changed) == 2
    assert not table.columns["extents"].any()  # headers are read elsewhere
