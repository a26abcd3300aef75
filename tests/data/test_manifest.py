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
        ("file,kind\nx,a,b\n", "row 2 has another number of fields"),
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


# --- labels are those of the list


def listed(root: Path, lines: list[str], **options: object) -> tuple[ManifestSource, ...]:
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    options = {"path": str(root / "list.csv"), "image_size": 16, **options}
    return tuple(ManifestSource(split=split, **options) for split in ("train", "val"))


def labels(*sources: ManifestSource) -> dict[str, float]:
    return {
        name: label
        for source in sources
        for name, label in zip(source.known_as, source.labels.tolist(), strict=True)
    }


@pytest.mark.parametrize("seed", range(6))
def test_a_label_is_that_of_its_row_in_any_order_and_spelling(images: Path, seed: int) -> None:
    import random

    draw = random.Random(seed)
    given = {f"pictures/{at}.png": draw.choice(["1", "10", "2"]) for at in range(12)}
    rows = [(draw.choice([name, f"./{name}", str(images / name)]), given[name]) for name in given]
    rows += draw.sample(rows, 4)
    draw.shuffle(rows)
    found = listed(images, ["file,kind", *map(",".join, rows)], label_column="kind")
    assert {source.classes == ["1", "2", "10"] for source in found} == {True}
    assert sum(map(len, found)) == 12
    for name, label in labels(*found).items():
        assert found[0].classes[int(label)] == given[str(Path(images, name).relative_to(images))]
    assert "4 images are listed more than once" in found[0].remarks[0]


@pytest.mark.parametrize("order", [1, -1])
def test_rows_that_contradict_each_other_are_refused_unless_told(images: Path, order: int) -> None:
    rows = [f"pictures/{at}.png,{at % 2}" for at in range(12)]
    rows = [*rows, "pictures/3.png,0"][::order]
    with pytest.raises(ValueError, match=r"1 images have rows with different labels .*pictures/3"):
        listed(images, ["file,kind", *rows], label_column="kind")
    found = labels(*listed(images, ["file,kind", *rows], label_column="kind", max_conflicts=1))
    assert found.pop("pictures/3.png") == -1
    assert found == {f"pictures/{at}.png": at % 2 for at in range(12) if at != 3}


@pytest.mark.parametrize("held", ["val", "test", "Validation", "dev"])
def test_an_image_of_both_splits_is_refused_and_told_never_trained_on(
    images: Path, held: str
) -> None:
    rows = [f"pictures/{at}.png,{held if at > 8 else 'Train'}" for at in range(12)]
    rows = [f"./pictures/1.png,{held}", *rows]
    with pytest.raises(ValueError, match=r"1 images are listed both for train and for val or test"):
        listed(images, ["file,part", *rows], split_column="part")
    train, val = listed(images, ["file,part", *rows], split_column="part", max_conflicts=1)
    assert (len(train), len(val)) == (8, 4)
    assert not set(map(str, train.paths)) & {str(images / "./pictures/1.png")}


def test_numbers_stay_numbers(images: Path) -> None:
    rows = [f"pictures/{at}.png,{20 + at * 3}" for at in range(12)]
    amounts = labels(*listed(images, ["file,age", *rows], label_column="age", label_kind="value"))
    assert amounts == {f"pictures/{at}.png": 20 + at * 3 for at in range(12)}
    rows = [f"pictures/{at}.png;{at},5" for at in range(11)] + ["pictures/11.png;"]
    found = labels(*listed(images, ["file;dose", *rows], label_column="dose"))
    assert found.pop("pictures/11.png") != found["pictures/0.png"]
    assert found == {f"pictures/{at}.png": at + 0.5 for at in range(11)}
    rows = [f"pictures/{at}.png,cat" for at in range(12)]
    with pytest.raises(ValueError, match=r"labels=value: .*'cat', which is no number"):
        listed(images, ["file,age", *rows], label_column="age", label_kind="value")


def test_test_images_beside_val_are_told(images: Path) -> None:
    rows = [f"pictures/{at}.png,{('train', 'val', 'test')[at % 3]}" for at in range(12)]
    train, _ = listed(images, ["file,part", *rows], split_column="part")
    assert train.remarks == [
        "4 images of test are not used, as there are some of val to evaluate on"
    ]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_is_another_name_of_its_image(images: Path, link: str) -> None:
    """Trained on under one name and put aside under another, it would tell nothing."""
    getattr(images / "pictures/link.png", link)(images / "pictures/1.png")
    rows = [f"pictures/{at}.png,{'test' if at > 8 else 'train'},{at}" for at in range(12)]
    table = ["file,part,kind", *rows, "pictures/link.png,test,1"]
    with pytest.raises(ValueError, match="1 images are listed both for train and for val or test"):
        listed(images, table, split_column="part", label_column="kind")
    train, val = listed(images, table, split_column="part", max_conflicts=1)
    assert (len(train), len(val)) == (8, 4)
    with pytest.raises(ValueError, match=r"1 images have rows with different labels"):
        listed(images, [*table[:-1], "pictures/link.png,train,9"], label_column="kind")


def test_gaps_among_amounts_are_unlabelled_and_told(images: Path) -> None:
    rows = [f"pictures/{at}.png,{at + 0.5 if at % 3 else 'NaN'}" for at in range(12)]
    train, val = listed(images, ["file,dose", *rows], label_column="dose")
    found = labels(train, val)
    assert [name for name, label in found.items() if label != label] == [
        name for name in found if int(Path(name).stem) % 3 == 0
    ]
    assert train.remarks == [
        "4 images have 'NaN' among numbers for a label, and count as unlabelled"
    ]
    assert train.classes == []


def test_a_name_that_no_file_can_have_is_refused_by_its_row(images: Path) -> None:
    with pytest.raises(ValueError, match=r"row 3 names 'a\\x00.png', which no file can be called"):
        listed(images, ["file,kind", "pictures/1.png,1", "a\0.png,1"])


def test_a_class_that_training_has_not_is_told(images: Path) -> None:
    rows = [f"pictures/{at}.png,{'test' if at > 8 else 'train'},{'ab'[at > 9]}" for at in range(12)]
    train, val = listed(images, ["file,part,kind", *rows], split_column="part", label_column="kind")
    told = "2 of 3 images to evaluate on (pictures/10.png) are of a class that no training image"
    assert [line[: len(told)] for line in (*train.remarks, *val.remarks)] == [told, told]
