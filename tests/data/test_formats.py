"""A format whose library is missing is said, with what to install, and never taken for damage."""

from __future__ import annotations

import io

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet
from shard_files import write_tar

from ssl_patches.data import HuggingFaceSource, ManifestSource, ShardSource
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.dicom import DicomReader
from ssl_patches.data.formats import READERS, reader_in
from ssl_patches.data.headers import header
from ssl_patches.data.heif import HeicReader
from ssl_patches.data.suffixes import UNREAD
from ssl_patches.data.walk import find_images


@pytest.mark.parametrize("kind", [DicomReader, HeicReader])
def test_without_its_library_files_are_left_out_with_the_remedy(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(kind, "is_there", lambda self: False)
    suffix = kind.suffixes[0]
    for name in ("a", "b"):
        (tmp_path / f"{name}{suffix}").write_bytes(b"x")
    found = find_images(str(tmp_path))
    assert found.images == []
    (left,) = found.left
    assert (left.count, left.what) == (2, "files")
    assert f"ssl-patches[{kind.extra}]" in left.why


@pytest.mark.parametrize("kind", [DicomReader, HeicReader])
@pytest.mark.parametrize("container", ["tar", "parquet", "list"])
def test_without_its_library_images_of_shards_and_lists_are_left_out_too(
    kind, container, tmp_path, monkeypatch
):
    """They are no damage: none is unreadable, and all count as soon as the library is there."""
    suffix = kind.suffixes[0]
    named = [f"{at}{suffix.upper() if at % 2 else '.png'}" for at in range(8)]
    picture = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), 9, np.uint8)).save(picture, "PNG")
    files = {name: picture.getvalue() for name in named}
    asked = {"split": "train", "image_size": 16}
    place = tmp_path / "train"
    place.mkdir()
    if container == "tar":
        write_tar(place / "train.tar", files)
    elif container == "parquet":
        rows = [{"image": {"bytes": content, "path": name}} for name, content in files.items()]
        parquet.write_table(pyarrow.Table.from_pylist(rows), place / "train.parquet")
    else:
        for name, content in files.items():
            (place / name).write_bytes(content)
        (place / "list.txt").write_text("\n".join(named))

    def source():
        if container == "list":
            return ManifestSource(path=str(place / "list.txt"), **asked)
        return ShardSource(path=str(place), shard_dir=str(tmp_path / "kept"), mixed=1, **asked)

    here = source()
    names = list(here.known_as)
    monkeypatch.setattr(kind, "is_there", lambda self: False)
    without = source()
    odd = [name for name in names if name.lower().endswith(suffix)]
    assert odd
    assert [name for name in names if name not in odd] == list(without.known_as)
    (said,) = [line for line in without.remarks if "ssl-patches[" in line]
    assert int(said.split()[0]) == (4 if container == "parquet" else len(odd))  # of both sides
    assert f"ssl-patches[{kind.extra}]" in said
    assert [without[at][2] for at in range(len(without))] == list(range(len(without)))
    assert without.unreadable() == []
    assert without.kept_key() != here.kept_key()
    monkeypatch.undo()
    assert list(source().known_as) == names


BEGINS = {
    DicomReader: bytes(128) + b"DICM" + bytes(9),
    HeicReader: b"\0\0\0\x18ftypheic" + bytes(20),
}


@pytest.mark.parametrize("kind", [DicomReader, HeicReader])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("container", ["parquet", "arrow"])
def test_rows_of_a_table_are_left_out_with_the_remedy_with_names_or_without(
    kind, named, container, tmp_path, monkeypatch
):
    monkeypatch.setattr(kind, "is_there", lambda self: False)
    picture = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), 9, np.uint8)).save(picture, "PNG")
    cells = [
        {
            "bytes": BEGINS[kind] if at % 3 == 0 else picture.getvalue(),
            "path": f"{at}{kind.suffixes[0] if at % 3 == 0 else '.png'}" if named else None,
        }
        for at in range(12)
    ]
    asked = {"split": "train", "image_size": 16}
    place = tmp_path / "train"
    if container == "parquet":
        place.mkdir()
        schema = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
        table = pyarrow.table({"image": pyarrow.array(cells, schema)})
        parquet.write_table(table, place / "train.parquet")
        source = ShardSource(path=str(place), shard_dir=str(tmp_path / "kept"), mixed=1, **asked)
    else:
        from datasets import Dataset, DatasetDict, Features
        from datasets import Image as ImageFeature

        rows = Dataset.from_dict({"image": cells}, features=Features({"image": ImageFeature()}))
        DatasetDict({"train": rows, "test": rows}).save_to_disk(place)
        source = HuggingFaceSource(path=str(place), **asked)
        assert list(source.known_as) == [f"train/{at}" for at in range(12) if at % 3]
        assert len(source) == len(source.labels) == 8
    (said,) = [line for line in source.remarks if "ssl-patches[" in line]
    assert said.startswith("4 ")
    assert f"ssl-patches[{kind.extra}]" in said
    assert [source[at][2] for at in range(len(source))] == list(range(len(source)))
    assert source.unreadable() == []


def test_where_nothing_else_is_there_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(HeicReader, "is_there", lambda self: False)
    write_tar(tmp_path / "train.tar", {"a.heic": b"x"})
    (tmp_path / "list.txt").write_text("a.heic")
    asked = {"split": "train", "image_size": 16}
    with pytest.raises(ValueError, match=r"must hold images.*ssl-patches\[heic\]"):
        ShardSource(path=str(tmp_path / "train.tar"), shard_dir=str(tmp_path / "kept"), **asked)
    with pytest.raises(ValueError, match=r"must list images.*ssl-patches\[heic\]"):
        ManifestSource(path=str(tmp_path / "list.txt"), **asked)


def test_one_that_is_named_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(DicomReader, "is_there", lambda self: False)
    path = tmp_path / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 99)
    with pytest.raises(UnreadableImage, match=r"pip install 'ssl-patches\[dicom\]'"):
        header(str(path))


def test_no_suffix_is_read_and_not_read():
    assert not {suffix for reader in READERS for suffix in reader.suffixes} & set(UNREAD)


def test_content_tells_the_format_whatever_the_name(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((4, 4), np.uint8))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.npz").read_bytes())
    assert header(str(tmp_path / "a.png"), channels=1) == (4, 4)
    assert reader_in(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(140))) is None
