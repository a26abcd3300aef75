"""What is named is all there, or one line says what is missing and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches.data.shards.listing import Shard, list_shards, listed_text


def put(folder: Path, *names: str, size: int = 3) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def names(path: object) -> list[str]:
    return [shard.name for shard in list_shards(str(path), {}).shards]


def test_a_folder_a_file_and_patterns_name_shards(tmp_path: Path) -> None:
    put(tmp_path, "a-00.tar", "a-01.tar", "a-02.tar", "b/c.parquet", "read.me")
    assert names(tmp_path) == ["a-00.tar", "a-01.tar", "a-02.tar", "c.parquet"]
    assert names(tmp_path / "a-01.tar") == ["a-01.tar"]
    assert names(tmp_path / "a-*.tar") == ["a-00.tar", "a-01.tar", "a-02.tar"]
    assert names(tmp_path / "a-{01..02}.tar") == ["a-01.tar", "a-02.tar"]
    assert names(f"file://{tmp_path}/b") == ["c.parquet"]


@pytest.mark.parametrize(
    ("url", "side"),
    [
        ("d/train-0001.tar", "train"),
        ("d/val/0001.tar", "val"),
        ("s3://b/d/test-00000-of-00002.parquet", "test"),
        ("d/0001.tar", None),
        ("d/trainings_camp.tar", None),
    ],
)
def test_the_folder_or_the_first_word_names_the_side(url: str, side: str | None) -> None:
    assert Shard(url, 1, "").side == side


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a-00000-of-00003.parquet", "a-00002-of-00003.parquet")
    with pytest.raises(ValueError, match=r"a-00001-of-00003.parquet is missing"):
        names(tmp_path)
    with pytest.raises(ValueError, match=r"b-01.tar, which is not there"):
        names(tmp_path / "b-{01..02}.tar")
    with pytest.raises(ValueError, match=r"there are none; set data\.path"):
        names(tmp_path / "c-*.tar")
    with pytest.raises(ValueError, match=r"not there|cannot be read"):
        names("file:///nowhere/at/all/c.tar")


def test_a_list_of_ours_says_what_must_be_there(tmp_path: Path) -> None:
    put(tmp_path, "a.tar", "b.tar")
    rows = [{"name": name, "bytes": 3, "sha256": "0"} for name in ("a.tar", "b.tar")]
    (tmp_path / "shards.json").write_text(listed_text(rows))
    assert {shard.sha256 for shard in list_shards(str(tmp_path), {}).shards} == {"0"}
    put(tmp_path, "b.tar", size=2)
    with pytest.raises(ValueError, match=r"b.tar has 2 bytes, shards.json says 3: it is cut short"):
        names(tmp_path)
    (tmp_path / "b.tar").unlink()
    with pytest.raises(ValueError, match=r"b.tar is listed in shards.json and is not there"):
        names(tmp_path)
    assert names(tmp_path / "a*.tar") == ["a.tar"]


def test_a_store_whose_library_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"needs what reads abfs://.*|needs what reads"):
        list_shards("abfs://bucket/a.tar", {})


def test_what_may_hold_images_and_is_no_shard_is_told_and_links_are_followed(
    tmp_path: Path,
) -> None:
    put(tmp_path, "d/a.tar", "d/b.tar.gz", "d/c.zip", "d/e.TAR", "d/f.jpg", "d/read.me", "x/g.tar")
    (tmp_path / "d" / "more").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "round").symlink_to(tmp_path / "d")
    found = list_shards(str(tmp_path / "d"), {})
    assert [shard.name for shard in found.shards] == ["a.tar", "g.tar"]
    told = {Path(each.example).name: (each.count, each.what) for each in found.left}
    assert told == {"b.tar.gz": (2, "files"), "e.TAR": (1, "files"), "f.jpg": (1, "images")}
    (tmp_path / "d" / "empty.tar").touch()
    away = list_shards(f"file://{tmp_path}/d", {})
    assert [each.why for each in away.left if each.example.endswith("empty.tar")] == ["is empty"]
