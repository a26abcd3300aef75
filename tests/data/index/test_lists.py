"""The table of a list has its order, and what the headers of its files say, kept or not."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from plain_files import FILES

from ssl_patches.data.index import known, lists
from ssl_patches.data.index.lists import listed_table
from ssl_patches.data.index.table import CORRUPT, OK, FileTable

CONTENTS = [FILES["rgb.png"], FILES["rgb.jpg"], FILES["grey.png"], b"", b"no image"]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory) -> None:
    """Short lists are kept too, in a cache of the test, and files are at rest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(lists, "LEAST", 1)
    monkeypatch.setattr(known, "RACY", 0)


def what(table: FileTable) -> list[object]:
    """All that a source takes from the table of a list."""
    columns = ("sizes", "extents", "states", "suffixes")
    names = [table.name(at) for at in range(len(table))]
    return [names, *(table.columns[name].tolist() for name in columns), table.reasons, table.state]


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


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_of_a_list_is_what_a_fresh_look_gives(tmp_path: Path, seed: int) -> None:
    """Whatever happens to files and list, also a file written in place with its old date."""
    draw = random.Random(seed)
    names = [f"{folder}{at}.png" for at in range(6) for folder in ("", "cat/", "dog/old/")]
    for folder in ("cat", "dog/old"):
        (tmp_path / folder).mkdir(parents=True)
    for _ in range(8):
        for name in draw.sample(names, 4):
            file = tmp_path / name
            before = file.stat() if file.exists() else None
            content = draw.choice([*CONTENTS, None])
            file.unlink(missing_ok=True) if content is None else file.write_bytes(content)
            if before is not None and content is not None:
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        if draw.random() < 0.3:
            draw.shuffle(names)
        time.sleep(0.01)  # a tick of the file system's clock
        kept = listed_table(names, str(tmp_path), channels=3, kept_as="list")
        assert what(kept) == what(listed_table(names, str(tmp_path), channels=3))


def test_headers_are_read_once_of_a_list_that_stays(tmp_path: Path, monkeypatch) -> None:
    names = ["b.png", "a.jpg", "bad.jpg"]
    for name, content in zip(names, CONTENTS[::2], strict=True):
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.png")  # whoever opens it waits for ever
    names.append("pipe.png")
    time.sleep(0.01)
    first = what(listed_table(names, str(tmp_path), channels=3, kept_as="list"))
    asked: list[int] = []
    read = known.extents_of
    monkeypatch.setattr(
        known,
        "extents_of",
        lambda *parts, count, **how: asked.append(count) or read(*parts, count=count, **how),
    )
    again = [listed_table(names, str(tmp_path), channels=3, kept_as="list") for _ in range(2)]
    assert [what(table) for table in again] == [first, first]
    for other in ({"kept_as": "other"}, {"kept_as": "list", "channels": 1}, {}):
        listed_table(names, str(tmp_path), **{"channels": 3, **other})
    listed_table(names[::-1], str(tmp_path), channels=3, kept_as="list")
    assert asked == [1, 1, 4, 4, 4, 4]  # what the system says of a pipe is not kept
