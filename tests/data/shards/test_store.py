"""A remote shard is fetched once and whole, or named; what was used longest ago makes room."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from shard_files import write_tar

from ssl_patches.data.shards import patience
from ssl_patches.data.shards.listing import list_shards
from ssl_patches.data.shards.patience import Patience
from ssl_patches.data.shards.store import Store

fsspec = pytest.importorskip("fsspec")


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


class Flaky(fsspec.get_filesystem_class("file")):
    """A disk that answers as a bad network does."""

    protocol = "flaky"
    failures: list[str] = []  # noqa: RUF012, shared by all of a test
    reads: list[str] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(
            str(path).removeprefix("flaky://")
        )  # older fsspec: file: only

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        self.reads.append(os.path.basename(path))
        kind = self.failures.pop(0) if self.failures else ""
        if kind == "error":
            raise OSError("connection reset")
        if kind == "silent":
            time.sleep(0.5)
        if kind == "forbidden":
            raise PermissionError("Access Denied")
        content = super().cat_file(path, start=start, end=end)
        return content[:-10] if kind == "short" else content


fsspec.register_implementation("flaky", Flaky, clobber=True)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "far").mkdir()
    for name in "abc":
        write_tar(tmp_path / "far" / f"{name}.tar", {f"{name}{at}.png": png(at) for at in range(6)})
    monkeypatch.setattr(patience, "PAUSE", 0.001)
    Flaky.failures, Flaky.reads = [], []
    return tmp_path


def stored(place: Path, **options: Any) -> tuple[Store, list[Any]]:
    given = {"largest": 10**9, "options": {}, "patience": Patience(0.2, 2), **options}
    shards = list_shards(f"flaky://{place}/far", {}).shards
    Flaky.reads.clear()  # of the listing
    return Store(folder=place / "near", **given), shards


@pytest.mark.parametrize("kinds", [["error"], ["short", "error"], ["silent"], []])
def test_reads_that_fail_are_tried_again_and_the_shard_is_whole(place: Path, kinds) -> None:
    store, (shard, *_) = stored(place)
    Flaky.failures = list(kinds)
    assert store.content(shard).read_bytes() == (place / "far" / "a.tar").read_bytes()
    assert len(Flaky.reads) == 1 + len(kinds)
    store.content(shard)
    assert store.members(shard).name_list()[0] == "a0.png"
    assert len(Flaky.reads) == 1 + len(kinds)  # an object is read once


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("error", "connection reset.*see whether it is there"),
        ("short", "of .* bytes came"),
        ("silent", "no answer within 0.2 s, 3 times.*set data.timeout higher"),
        ("forbidden", r"may not be read \(Access Denied\); give credentials"),
    ],
)
def test_what_goes_on_failing_is_named_with_a_remedy(place: Path, kind: str, message: str) -> None:
    store, (shard, *_) = stored(place)
    Flaky.failures = [kind] * 9
    with pytest.raises(ValueError, match=rf"data.path=flaky://.*a.tar.*{message}"):
        store.content(shard)
    assert not [path for path in (place / "near").iterdir() if path.suffix == ".tar"]


def test_a_content_that_is_not_what_the_list_says_is_refused(place: Path) -> None:
    from dataclasses import replace

    store, (shard, *_) = stored(place)
    with pytest.raises(ValueError, match=r"a.tar: its content is not what shards.json says"):
        store.content(replace(shard, sha256="0" * 64))


def test_the_shard_used_longest_ago_makes_room(place: Path) -> None:
    size = (place / "far" / "a.tar").stat().st_size
    store, (a, b, c) = stored(place, largest=2 * size)
    paths = [store.content(shard) for shard in (a, b)]
    os.utime(paths[0], (2, 2))
    os.utime(paths[1], (1, 1))
    store.content(c)
    assert [path.exists() for path in paths] == [True, False]
    assert store.members(b).name_list()[0] == "b0.png"  # known without the shard
    assert Flaky.reads.count("b.tar") == 1


def test_a_local_tar_is_used_where_it_lies(place: Path) -> None:
    store, _ = stored(place)
    (shard, *_) = list_shards(str(place / "far"), {}).shards
    assert store.content(shard) == place / "far" / "a.tar"
