"""Images that a list names, with labels and splits in columns."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data import ManifestSource

RNG = np.random.default_rng(0)

OPTIONS = {"split": "train", "image_size": 16}


def put(path: Path, value: int | None = None, side: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (
        RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
        if value is None
        else np.full((side, side, 3), value, np.uint8)
    )
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for at in range(12):
        put(tmp_path / "pictures" / f"{at}.png", value=at * 10)
    return tmp_path


def rows(count: int = 12) -> list[dict[str, str]]:
    side = ["train", "test", "train"]
    return [
        {"file": f"pictures/{at}.png", "kind": str(9 + at % 3), "part": side[at % 3]}
        for at in range(count)
    ]


def write(path: Path, delimiter: str = ",") -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "kind", "part"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows())
    return str(path)


def parquet(path: Path) -> str:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows()), path)
    return str(path)


@pytest.mark.parametrize("kind", ["list.csv", "list.tsv", "list.parquet"])
def test_columns_say_image_label_and_split(images: Path, kind: str) -> None:
    path = (
        parquet(images / kind)
        if kind.endswith("parquet")
        else write(images / kind, "\t" if kind.endswith("tsv") else ",")
    )
    columns = {"label_column": "kind", "split_column": "part", "image_size": 16}
    train, val = (ManifestSource(path=path, split=split, **columns) for split in ("train", "val"))
    assert (len(train), len(val)) == (8, 4)
    assert train.classes == val.classes == ["9", "10", "11"]
    assert train.labels.tolist() == [0, 2] * 4
    assert set(val.labels.tolist()) == {1}
    assert int(train[1][0][0, 0, 0]) == 20


def test_a_list_of_paths_is_unlabelled_and_divided_by_hash(images: Path) -> None:
    (images / "list.txt").write_text("\n".join(row["file"] for row in rows()) + "\n\n")
    train, val = (
        ManifestSource(path=str(images / "list.txt"), split=split, image_size=16)
        for split in ("train", "val")
    )
    assert len(train) + len(val) == 12
    assert not set(train.paths) & set(val.paths)
    assert set(train.labels.tolist()) == {-1}


def test_paths_may_be_relative_to_another_folder(
    images: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("lists") / "list.csv")
    assert len(ManifestSource(path=path, root=str(images), **OPTIONS)) > 0
    with pytest.raises(ValueError, match=r"data.path=.*must hold readable images, but none of"):
        ManifestSource(path=path, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"label_column": "kindd"},
            "data.label_column=kindd: .* has no such column; did you mean 'data.label_column=kind'",
        ),
        ({"image_column": "part"}, "data.path=.*must hold readable images"),
        ({"split_column": "kind"}, r"the split column says '10', must say train"),
    ],
)
def test_wrong_columns_are_refused_by_key(images: Path, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ManifestSource(path=write(images / "list.csv"), **OPTIONS, **options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "data.image_column: which column of .* set it to one of a, b"),
        ("file\n", "has no rows below its header"),
        ("file,kind\nx,a,b\n", "row 2 has another number of cells"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(ValueError, match=said):
        ManifestSource(path=str(tmp_path / "list.csv"), **OPTIONS)
    with pytest.raises(ValueError, match=r"data.path=.*gone.csv: cannot be read"):
        ManifestSource(path=str(tmp_path / "gone.csv"), **OPTIONS)
    (tmp_path / "list.parquet").write_bytes(gzip.compress(b"no parquet"))
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        ManifestSource(path=str(tmp_path / "list.parquet"), **OPTIONS)
