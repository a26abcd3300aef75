"""Data sets by name, by list and from Arrow: the same items as the files they come from."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from ssl_patches.data import HuggingFaceSource, ManifestSource, TorchvisionSource
from ssl_patches.data.torchvision import BY_FLAG, BY_SPLIT, NAMES, UNDIVIDED

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


# --- torchvision


def test_every_name_listed_is_there_and_takes_the_split_it_is_given() -> None:
    import inspect

    assert len(set(NAMES)) == len(BY_FLAG) + len(BY_SPLIT) + len(UNDIVIDED)
    for name in NAMES:
        knobs = inspect.signature(getattr(torchvision.datasets, name)).parameters
        assert ("train" in knobs, "split" in knobs) == (name in BY_FLAG, name in BY_SPLIT), name


def idx(path: Path, values: np.ndarray) -> None:
    """The format of MNIST: magic, shape, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = b"".join(side.to_bytes(4, "big") for side in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + shape + values.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    for name, count in (("train", 6), ("t10k", 3)):
        raw = tmp_path / "MNIST" / "raw"
        images = np.arange(count)[:, None, None] * 20 + np.zeros((count, 28, 28))
        idx(raw / f"{name}-images-idx3-ubyte", images)
        idx(raw / f"{name}-labels-idx1-ubyte", np.arange(count))
    return tmp_path


def test_a_data_set_of_torchvision_has_its_images_labels_and_splits(mnist: Path) -> None:
    train, val = (
        TorchvisionSource(name="MNIST", root=str(mnist), split=split, image_size=28)
        for split in ("train", "val")
    )
    assert (len(train), len(val)) == (6, 3)
    image, label, index = train[4]
    assert torch.equal(image, torch.full((3, 28, 28), 80, dtype=torch.uint8))
    assert (label, index) == (4, 4)
    assert train.labels.tolist() == list(range(6))
    assert len(train.classes) == 10
    assert train.fingerprint() != val.fingerprint()


def test_one_without_splits_is_divided(tmp_path: Path) -> None:
    for at in range(40):
        put(tmp_path / "eurosat" / "2750" / ("ab"[at % 2] + "kind") / f"{at}.png", value=at)
    train, val = (
        TorchvisionSource(name="EuroSAT", root=str(tmp_path), split=split, image_size=16)
        for split in ("train", "val")
    )
    values = [[int(item[0][0, 0, 0]) for item in source] for source in (train, val)]
    assert sorted(values[0] + values[1]) == list(range(40))
    assert set(train.labels.tolist()) == set(val.labels.tolist()) == {0, 1}


def test_missing_files_are_refused_and_nothing_is_fetched_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    monkeypatch.setattr(
        "torchvision.datasets.cifar.CIFAR10.download", lambda self: fetched.append(self)
    )
    with pytest.raises(
        ValueError,
        match=(
            r"data.name=CIFAR10: not found in data.root=.* set .* or data.download=true to fetch it"
        ),
    ):
        TorchvisionSource(name="CIFAR10", root=str(tmp_path), **OPTIONS)
    assert not fetched
    with pytest.raises(ValueError, match=r"data.name=CIFAR10: not found"):
        TorchvisionSource(name="CIFAR10", root=str(tmp_path), download=True, **OPTIONS)
    assert len(fetched) == 1
    with pytest.raises(ValueError, match=r"data.download=true: torchvision cannot fetch FER2013"):
        TorchvisionSource(name="FER2013", root=str(tmp_path), download=True, **OPTIONS)


def test_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ValueError,
        match=r"data.name=cifar10: must be a data set of torchvision.* did you mean 'CIFAR10'",
    ):
        TorchvisionSource(name="cifar10", root="x", **OPTIONS)
    with pytest.raises(ValueError, match=r"data.train_split=all: MNIST has no splits"):
        TorchvisionSource(name="MNIST", root="x", train_split="all", **OPTIONS)


# --- lists


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


# --- Hugging Face


def encoded(value: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 24, 3), value, np.uint8)).save(file, form)
    return file.getvalue()


@pytest.fixture
def arrow(tmp_path: Path) -> Path:
    """Twelve rows in train, one of them cut short, and three in test."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features
    from datasets import Image as ImageFeature

    features = Features({"picture": ImageFeature(), "kind": ClassLabel(names=["ant", "bee"])})

    def table(values: list[int]) -> Dataset:
        cells = [{"bytes": encoded(value), "path": None} for value in values]
        return Dataset.from_dict(
            {"picture": cells, "kind": [value % 2 for value in values]}, features=features
        )

    train = [{"bytes": encoded(at)[: 60 if at == 5 else None], "path": None} for at in range(12)]
    parts = {
        "train": Dataset.from_dict(
            {"picture": train, "kind": [at % 2 for at in range(12)]}, features=features
        )
    }
    DatasetDict(parts | {"test": table([100, 101, 102])}).save_to_disk(tmp_path / "saved")
    table(list(range(30))).save_to_disk(tmp_path / "single")
    return tmp_path


def test_rows_of_arrow_are_images_with_labels_and_damage_is_handled_as_in_a_folder(
    arrow: Path,
) -> None:
    options = {
        "path": str(arrow / "saved"),
        "label_column": "kind",
        "image_size": 16,
        "max_corrupt": 0.2,
    }
    train, val = (HuggingFaceSource(split=split, **options) for split in ("train", "val"))
    assert (len(train), len(val), train.classes) == (12, 3, ["ant", "bee"])
    image, label, index = train[3]
    assert image.shape == (3, 20, 20)
    assert (int(image[0, 0, 0]), label, index) == (3, 1, 3)
    assert train[5][2] == 6
    assert [name for name, _ in train.unreadable()] == ["train row 5"]
    assert val.labels.tolist() == [0, 1, 0]


def test_a_single_split_is_divided(arrow: Path) -> None:
    sources = [
        HuggingFaceSource(path=str(arrow / "single"), split=split, image_size=16)
        for split in ("train", "val")
    ]
    values = [[int(item[0][0, 0, 0]) for item in source] for source in sources]
    assert sorted(values[0] + values[1]) == list(range(30))
    assert set(sources[0].labels.tolist()) == {-1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "nowhere"}, "data.path=nowhere: must be a folder that save_to_disk wrote"),
        (
            {"image_column": "kind"},
            "data.image_column=kind: .* has no such column of images; choose among: picture",
        ),
        (
            {"label_column": "kinds"},
            "data.label_column=kinds: .* did you mean 'data.label_column=kind'",
        ),
        ({"label_column": "picture"}, "data.label_column=picture: must hold whole numbers"),
        ({"channels": 4}, "data.channels=4: images in Arrow"),
    ],
)
def test_wrong_values_for_arrow_are_refused_by_key(arrow: Path, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HuggingFaceSource(**{"path": str(arrow / "saved"), **OPTIONS, **options})
