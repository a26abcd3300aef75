"""Of a shard that was changed after it was packed only those images are lost that changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shard_files import write_tar

from ssl_patches.data.shards.listing import TABLE, Shard
from ssl_patches.data.shards.members import keep_members, members_of_tar
from ssl_patches.data.shards.rewritten import sound_part, sums_of

FILES = {"0.png": b"first", "0.cls": b"0", "1.png": b"second", "1.cls": b"1", "2.png": b"third"}


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """A shard with the table beside it."""
    path = tmp_path / "train-0.tar"
    write_tar(path, FILES)
    shard = Shard(str(path), path.stat().st_size, "")
    members = members_of_tar(str(path), shard)
    keep_members(members, Path(f"{path}{TABLE}"), sums=sums_of(path, members))
    return shard


@pytest.mark.parametrize("changed", [(), ("1.png",), ("0.png", "2.png"), ("0.png", "1.png")])
def test_images_that_changed_are_named_and_the_others_stay(
    shard: Shard, changed: tuple[str, ...]
) -> None:
    files = FILES | {name: FILES[name][::-1] for name in changed}
    write_tar(Path(shard.url), files)
    found = sound_part(shard)
    assert found is not None
    assert found.damaged == list(changed)
    stay = [name for name in ("0.png", "1.png", "2.png") if name not in changed]
    assert found.name_list() == stay
    content = Path(shard.url).read_bytes()
    pieces = zip(found.offsets.tolist(), found.lengths.tolist(), strict=True)
    assert [content[at : at + length] for at, length in pieces] == [FILES[name] for name in stay]
    assert found.labels.tolist() == [{"0": 0, "1": 1, "2": -1}[name[0]] for name in stay]


@pytest.mark.parametrize(
    "files",
    [
        FILES | {"1.cls": b"0"},
        {**FILES, "3.png": b"more"},
        {name: FILES[name] for name in ("0.png", "0.cls")},
        {("9.png" if name == "2.png" else name): content for name, content in FILES.items()},
        FILES | {"0.png": b"firs"},
    ],
)
def test_where_more_than_images_changed_nothing_is_believed(
    shard: Shard, files: dict[str, bytes]
) -> None:
    write_tar(Path(shard.url), files)
    assert sound_part(shard) is None


def test_without_sums_or_an_archive_nothing_is_known(shard: Shard, tmp_path: Path) -> None:
    members = members_of_tar(shard.url, shard)
    keep_members(members, Path(f"{shard.url}{TABLE}"))  # as before there were any
    assert sound_part(shard) is None
    keep_members(members, Path(f"{shard.url}{TABLE}"), sums=np.zeros(2, np.uint64))
    assert sound_part(shard) is None
    keep_members(members, Path(f"{shard.url}{TABLE}"), sums=sums_of(Path(shard.url), members))
    assert sound_part(shard) is not None
    Path(shard.url).write_bytes(Path(shard.url).read_bytes()[:5000])
    assert sound_part(shard) is None
