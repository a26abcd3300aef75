"""Anybody's Dataset is taken for what it is, or told exactly what is missing."""

from __future__ import annotations

import io
import re
from itertools import cycle

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_patches import config
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import build as build_data
from ssl_patches.data.build import data_name
from ssl_patches.data.items import ItemSource
from ssl_patches.data.preprocess import Preprocess


class Made:
    """A Dataset of ten items, each made by a function of its number."""

    def __init__(self, make, count: int = 10) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int):
        return self.make(at)


def pixels(at: int) -> np.ndarray:
    """(20, 24, 3) uint8: a plain colour that tells the item."""
    return np.broadcast_to(np.uint8([at * 10, 50, 200]), (20, 24, 3)).copy()


def tensor(at: int) -> torch.Tensor:
    return torch.from_numpy(pixels(at)).permute(2, 0, 1)


def source(make, **options) -> ItemSource:
    given = {
        "where": "data._target_=mine.Set",
        "split": "train",
        "image_size": 8,
        "divide": False,
        **options,
    }
    return ItemSource(Made(make), **given)


SHAPES = {
    "pil": lambda at: Image.fromarray(pixels(at)),
    "array": pixels,
    "array channels first": lambda at: pixels(at).transpose(2, 0, 1),
    "tensor": tensor,
    "float tensor": lambda at: tensor(at) / 255,
    "uint16": lambda at: pixels(at).astype(np.uint16) * 257,
}
KINDS = {
    "bare": (lambda image, label: image, False),
    "tuple": (lambda image, label: (image, label), True),
    "list": (lambda image, label: [image, label, "more"], True),
    "numpy label": (lambda image, label: (image, np.int64(label)), True),
    "tensor label": (lambda image, label: (image, torch.tensor(label)), True),
    "no label": (lambda image, label: (image, None), False),
    "dict": (lambda image, label: {"id": "x", "image": image, "label": label}, True),
    "other dict": (lambda image, label: {"img": image, "target": label}, True),
    "dict without label": (lambda image, label: {"image": image}, False),
}


@pytest.mark.parametrize(("kind", "shape"), list(zip(KINDS, cycle(SHAPES), strict=False)))
def test_every_shape_and_kind_of_item_is_taken(kind: str, shape: str) -> None:
    wrap, labelled = KINDS[kind]
    found = source(lambda at: wrap(SHAPES[shape](at), at % 3))
    assert len(found) == 10
    image, label, index = found[4]
    assert (image.shape, image.dtype, index) == ((3, 16, 16), torch.uint8, 4)
    assert image[:, 0, 0].tolist() == [40, 50, 200]
    assert label == (1 if labelled else -1)
    assert found.labels.tolist() == [at % 3 if labelled else -1 for at in range(10)]


WRONG = {
    "dict": (
        lambda at: {"picture": pixels(at)},
        "item 0 is a dict with the keys picture and no image; name the image 'image'",
    ),
    "path": (
        lambda at: "a.png",
        "item 0 holds the text a.png where the image is due; return a PIL image",
    ),
    "none": (lambda at: None, "item 0 holds NoneType where the image is due"),
    "empty": (lambda at: (), "item 0 is empty; return (image, label)"),
    "shape": (
        lambda at: pixels(at)[..., :2],
        "item 0 has shape (20, 24, 2), 2 channels, and data.channels=3",
    ),
    "label": (
        lambda at: (pixels(at), "cat"),
        "item 0 has the text cat as label; return a whole number",
    ),
    "normalised": (lambda at: tensor(at) / 25.0 - 2, "lie outside 0..1.0"),
    "bool": (lambda at: pixels(at) > 3, "item 0 has bool pixels: must be whole numbers or floats"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_item_is_told_what_is_missing_when_the_source_is_made(name: str) -> None:
    make, said = WRONG[name]
    with pytest.raises(ValueError, match="^data._target_=mine.Set: .*" + re.escape(said)):
        source(make)


def test_a_wrong_item_later_on_is_told_by_its_number() -> None:
    wrong: set[int] = set()
    found = source(lambda at: None if at in wrong else pixels(at))
    wrong.add(9)
    with pytest.raises(ValueError, match="item 9 holds NoneType"):
        found[9]


def test_what_is_no_map_style_dataset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no __len__ and no __getitem__; give it both"):
        ItemSource(iter([1]), where="data._target_=mine.Set", split="train", image_size=8)


def test_an_item_that_cannot_be_read_from_disk_is_damage_and_any_other_error_its_own() -> None:
    def broken(at: int):
        if at == 3:
            raise OSError("image file is truncated")
        return pixels(at), at

    found = source(broken)
    found.max_corrupt = 0.5
    assert found[3][2] == 4
    assert found.unreadable() == [("item 3", "image file is truncated")]
    with pytest.raises(KeyError):
        source(lambda at: {}["nothing"])


def test_train_and_val_of_an_undivided_dataset_share_no_item() -> None:
    train, val = (
        source(lambda at: (pixels(0), at), split=split, divide=True) for split in ("train", "val")
    )
    assert sorted([*train.labels.tolist(), *val.labels.tolist()]) == list(range(10))
    assert len(val) > 0


def test_listed_labels_are_used_only_where_they_agree_with_the_items() -> None:
    for shift, reads in ((0, 0), (1, 10)):
        asked: list[int] = []
        dataset = Made(lambda at, asked=asked: (asked.append(at), (pixels(at), at))[1])
        dataset.targets = [at + shift for at in range(10)]
        found = ItemSource(
            dataset,
            where="data._target_=x.Y",
            split="train",
            image_size=8,
            divide=False,
            apart=False,
        )
        asked.clear()
        assert found.labels.tolist() == list(range(10))
        assert len(asked) == reads


@pytest.mark.parametrize("odd", range(10))
def test_a_list_that_disagrees_with_any_item_that_is_looked_at_is_not_believed(odd: int) -> None:
    found = source(lambda at: (pixels(at), at % 3), apart=False)
    listed = Made(lambda at: (pixels(at), at % 3))
    listed.targets = [at % 3 if at != odd else 7 for at in range(10)]
    given = {"where": "w", "split": "train", "image_size": 8, "divide": False, "apart": False}
    assert ItemSource(listed, **given).labels.tolist() == found.labels.tolist()


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16])
def test_levels_of_8_bits_in_wider_numbers_are_told(kind: type) -> None:
    """``torch.tensor(image)`` of a list is int64, and 255 of 65535 is black."""
    wide = source(lambda at: pixels(at).astype(kind), apart=False)
    assert f"images of {np.dtype(kind)} end at 200" in wide.remarks[0]
    assert not source(lambda at: pixels(at).astype(kind), apart=False, value_range=[0, 255]).remarks
    assert not source(lambda at: pixels(at).astype(kind) * 99, apart=False).remarks
    assert not source(pixels, apart=False).remarks


def test_the_fingerprint_is_of_the_pixels() -> None:
    one, same, other = (
        source(make).fingerprint() for make in (pixels, pixels, lambda at: pixels(at) + 1)
    )
    assert one == same != other


class Squares:
    """A user's class, named by data._target_: it takes ``split`` and a knob of its own."""

    def __init__(self, folder: str, split: str, grey: int = 0) -> None:
        self.split, self.grey, self.folder = split, grey, folder

    def __len__(self) -> int:
        return 12 if self.split == "train" else 5

    def __getitem__(self, at: int) -> dict:
        return {"image": np.full((32, 32), self.grey, np.uint8), "label": at % 2}


OWN = ("data=own", f"data._target_={__name__}.Squares", "data.folder=x", "data.grey=7")


def test_a_class_of_the_users_own_is_configured_like_any_other() -> None:
    cfg = config.request(
        "pretrain", [*OWN, "data.channels=1", "image_size=32"], supplied=SUPPLIED, schema=PRETRAIN
    )
    train, val = (build_data.source(cfg, split, whole=True) for split in ("train", "val"))
    assert (len(train), len(val)) == (12, 5)
    assert torch.equal(train[0][0], torch.full((1, 32, 32), 7, dtype=torch.uint8))
    assert data_name(cfg["data"]) == "squares"
    with pytest.raises(
        config.BadRequest, match=r"data.gray: unknown key.*did you mean 'data.grey'"
    ):
        config.request(
            "pretrain",
            ["data=own", OWN[1], "data.folder=x", "data.gray=7"],
            supplied=SUPPLIED,
            schema=PRETRAIN,
        )


def test_a_picture_is_turned_as_the_exported_preprocessing_turns_it() -> None:
    upright = np.zeros((48, 48, 3), np.uint8)
    upright[:24] = 255
    image, held = Image.fromarray(np.rot90(upright, 1).copy()), io.BytesIO()
    exif = image.getexif()
    exif[274] = 6
    image.save(held, "JPEG", exif=exif, quality=95)
    found = source(lambda at: Image.open(io.BytesIO(held.getvalue())), image_size=48)[0][0]
    whole = Preprocess(image_size=48, mean=(0, 0, 0), std=(1, 1, 1))
    assert torch.equal(found.float() / 255, whole(Image.open(io.BytesIO(held.getvalue()))))
    assert found[:, :20].min() > 250


def test_a_range_holds_for_arrays_of_a_dataset() -> None:
    found = source(lambda at: np.full((32, 32, 3), 4095, np.uint16), value_range=(0, 4095))
    assert found[0][0].min() == 255
