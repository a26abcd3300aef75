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
