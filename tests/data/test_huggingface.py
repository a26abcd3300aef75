"""Rows of Arrow are images like any files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.data import HuggingFaceSource

OPTIONS = {"split": "train", "image_size": 16}


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


def saved(place: Path, names: dict[str, list[str]], labels: dict[str, list[int]]) -> str:
    """Save splits that each name their classes as they like."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features
    from datasets import Image as ImageFeature

    parts = {}
    for split, said in names.items():
        kind = ClassLabel(names=said)
        features = Features({"mask": ImageFeature(), "image": ImageFeature(), "label": kind})
        count = range(len(labels[split]))
        cells = [{"bytes": encoded(at), "path": None} for at in count]
        masks = [{"bytes": encoded(200), "path": None}] * len(count)
        rows = {"mask": masks, "image": cells, "label": labels[split]}
        parts[split] = Dataset.from_dict(rows, features=features)
    DatasetDict(parts).save_to_disk(place)
    return str(place)


@pytest.mark.parametrize("seed", range(5))
def test_a_label_keeps_its_name_whatever_the_order_in_its_split(tmp_path: Path, seed: int) -> None:
    import random

    draw = random.Random(seed)
    names = {split: draw.sample(["ant", "bee", "cat"], 3) for split in ("train", "test")}
    labels = {split: [draw.randrange(3) for _ in range(6)] for split in names}
    path = saved(tmp_path / "d", names, labels)
    sources = {
        split: HuggingFaceSource(path=path, split=side, image_size=16, label_column="label")
        for split, side in (("train", "train"), ("test", "val"))
    }
    assert sources["train"].classes == sources["test"].classes
    for split, source in sources.items():
        said = [source.classes[at] for at in source.labels.tolist()]
        assert said == [names[split][at] for at in labels[split]]


def test_the_column_called_image_counts_and_others_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "d", {"train": ["a"], "test": ["a"]}, {"train": [0] * 4, "test": [0]})
    source = HuggingFaceSource(path=path, **OPTIONS)
    assert int(source[3][0][0, 0, 0]) == 3
    assert source.remarks[-1].startswith("images of the columns mask are not used")
    other = HuggingFaceSource(path=path, image_column="mask", **OPTIONS)
    assert int(other[3][0][0, 0, 0]) == 200
    assert not other.remarks


def test_images_that_rows_only_name_are_files_of_the_source(arrow: Path) -> None:
    """As older versions of datasets saved them; newer ones put the content into the rows."""
    from datasets import Dataset
    from datasets import Image as ImageFeature

    source = HuggingFaceSource(path=str(arrow / "single"), **OPTIONS)
    assert source._outside() == []
    source.image_column = "image"
    source.rows = Dataset.from_dict({"image": ["/a.png", "/b.png"]}).cast_column(
        "image", ImageFeature(decode=False)
    )
    assert source._outside() == ["/a.png", "/b.png"]
