"""Data sets by name, by list and from Arrow: the same items as the files they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from ssl_patches.data import TorchvisionSource
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


# --- Hugging Face
