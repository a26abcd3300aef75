"""The table of a shard finds each image at its place; a shard that ends early is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shard_files import write_tar

from ssl_patches.data.shards.listing import Shard
from ssl_patches.data.shards.members import (
    keep_members,
    members_of_parquet,
    members_of_tar,
    read_members,
)


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def tar(path: Path, files: dict[str, bytes]) -> Shard:
    write_tar(path, files)
    return Shard(str(path), path.stat().st_size, "")


def test_samples_of_a_tar_have_their_image_label_and_name(tmp_path: Path) -> None:
    """As WebDataset writes them: one sample is what shares a name up to the first dot."""
    shard = tar(
        tmp_path / "a.tar",
        {
            "d/0.cls": b"3",
            "d/0.png": png(0),
            "d/1.seg.png": png(1),
            "d/1.json": json.dumps({"label": 2, "path": "dog/x.png"}).encode(),
            "d/2.txt": b"no image",
            "d/3.jpg": png(3),
            "d/3.cls": b"no number",
            "d/4.jpg": png(4),
            "d/4.cls": b"-1",
        },
    )
    found = members_of_tar(shard.url, shard)
    assert found.name_list() == ["d/0.png", "dog/x.png", "d/3.jpg", "d/4.jpg"]
    assert found.labels.tolist() == [3, 2, -1, -1]
    assert list(map(str, found.left)) == [
        "1 image (d/3.jpg) unlabelled: the label is text, and those of others are numbers"
    ]
    content = Path(shard.url).read_bytes()
    pieces = [
        content[at : at + count] for at, count in zip(found.offsets, found.lengths, strict=True)
    ]
    assert pieces == [png(0), png(1), png(3), png(4)]


@pytest.mark.parametrize("lost", [100, 1024, 3000])
def test_a_tar_that_ends_early_is_refused(tmp_path: Path, lost: int) -> None:
    shard = tar(tmp_path / "a.tar", {f"{at}.png": png(at) for at in range(9)})
    content = Path(shard.url).read_bytes().rstrip(b"\0") + b"\0" * 1024
    Path(shard.url).write_bytes(content[:-lost])
    with pytest.raises(ValueError, match=r"a.tar: the shard is damaged or cut short.*leave it out"):
        members_of_tar(shard.url, shard)


@pytest.mark.parametrize("names", [["a.features.npz", "a.png"], ["a.png", "a.npy"]])
def test_a_picture_counts_and_not_the_array_beside_it(names: list[str], tmp_path: Path) -> None:
    shard = tar(tmp_path / "a.tar", {name: png(0) for name in names})
    assert members_of_tar(shard.url, shard).name_list() == ["a.png"]


def test_a_tar_without_images_is_refused(tmp_path: Path) -> None:
    shard = tar(tmp_path / "a.tar", {"a.txt": b""})
    with pytest.raises(ValueError, match="holds no image"):
        members_of_tar(shard.url, shard)


def test_parquet_of_datasets_is_unpacked_with_labels_and_classes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])}
    )
    cells = [{"bytes": png(at), "path": f"{at}.png"} for at in range(5)]
    table = datasets.Dataset.from_dict({"image": cells, "label": [0, 1, 1, 0, 1]}, features)
    path = tmp_path / "a.parquet"
    table.to_parquet(path)
    shard = Shard(str(path), path.stat().st_size, "")
    found = members_of_parquet(str(path), shard, tmp_path / "images")
    assert (found.labels.tolist(), found.classes) == ([0, 1, 1, 0, 1], ["ant", "bee"])
    content = (tmp_path / "images").read_bytes()
    at, count = found.offsets[3], found.lengths[3]
    assert content[at : at + count] == png(3)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="the shard is damaged or cut short"):
        members_of_parquet(str(path), shard, tmp_path / "images")


def test_parquet_without_images_is_refused_with_its_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "a.parquet")
    shard = Shard(str(tmp_path / "a.parquet"), 1, "")
    with pytest.raises(ValueError, match=r"has no column of images .* but a, b"):
        members_of_parquet(shard.url, shard, tmp_path / "images")


def test_a_table_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    shard = tar(tmp_path / "a.tar", {f"{at}.png": png(at) for at in range(9)})
    found = members_of_tar(shard.url, shard)
    keep_members(found, tmp_path / "a.npz")
    again = read_members(tmp_path / "a.npz")
    assert again is not None
    assert again.name_list() == found.name_list()
    assert np.array_equal(again.offsets, found.offsets)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-9])
    assert read_members(tmp_path / "a.npz") is None
    assert read_members(tmp_path / "b.npz") is None
