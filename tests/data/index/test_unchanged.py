"""A folder is unchanged where every file is; one change anywhere below is enough."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ssl_patches.data.index import known
from ssl_patches.data.index import unchanged as module
from ssl_patches.data.index.known import with_headers
from ssl_patches.data.index.table import FileTable
from ssl_patches.data.index.unchanged import unchanged
from ssl_patches.data.index.walked import walked

FOLDERS = ["a", "b", "b/c", "empty", "mixed"]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(known, "RACY", 0)
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        for at in range(3 * (folder != "empty")):
            (tmp_path / folder / f"{at}.png").write_bytes(b"no image")
    (tmp_path / "mixed" / "notes.txt").write_text("")
    time.sleep(0.01)  # a tick of the file system's clock
    return tmp_path


def listed(root: Path) -> FileTable:
    table, changed = walked(str(root))
    return with_headers(table, changed, None, 3, time.time_ns())


@pytest.mark.parametrize("part", [1, 4, 8192])
@pytest.mark.parametrize("folder", FOLDERS)
def test_one_change_anywhere_is_seen(root, monkeypatch, folder, part) -> None:
    monkeypatch.setattr(module, "PART", part)
    table = listed(root)
    assert unchanged(str(root), table)
    new, dates = root / folder / "9.png", (root / folder).stat()
    for change in (
        lambda: new.write_bytes(b"no image"),
        lambda: new.write_bytes(b"an image"),
        lambda: new.rename(root / "9.png"),
    ):
        change()
        os.utime(root / folder, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # nobody is to see it
        time.sleep(0.01)
        assert not unchanged(str(root), table)
        table = listed(root)
        assert unchanged(str(root), table)


def test_names_of_folders_with_nothing_but_images_are_handed_on(root) -> None:
    table = listed(root)
    handed = {each.path: each.names for part in module._parts(str(root), table) for each in part}
    assert len(handed) == len(FOLDERS) + 1
    for path, names in handed.items():
        if names is not None:
            assert names.split(b"\0") == sorted(os.listdir(os.fsencode(path)))
    assert handed[str(root / "mixed") + "/"] is None
    dated = bool(table.looked["a/"] and table.looked["a/"].dates)
    assert (handed[str(root / "a") + "/"] is not None) == dated


def test_a_folder_that_was_changed_just_before_is_not_believed(root) -> None:
    table = listed(root)
    table.looked["a/"] = None
    assert not unchanged(str(root), table)
    table.looked.clear()
    assert not unchanged(str(root), table)
