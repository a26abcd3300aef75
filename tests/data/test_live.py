"""Dataset objects are passed beside the configuration, and never kept with it."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_patches.data import build as build_data
from ssl_patches.data.live import LIVE, live_source, of_datasets

CFG = {"data": {"_target_": LIVE, "name": "Blobs"}, "image_size": 32}


class Blobs:
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.full((32, 32, 3), index, np.uint8), index % 2


def test_of_two_datasets_each_is_its_split():
    given = {"train": Blobs(24), "val": Blobs(9)}
    train, val = (
        of_datasets(given, name="Blobs", split=s, image_size=32) for s in ("train", "val")
    )
    assert (len(train), len(val)) == (24, 9)


def test_of_one_a_fifth_is_held_out():
    train, val = (
        of_datasets({"train": Blobs(24)}, name="Blobs", split=split, image_size=32)
        for split in ("train", "val")
    )
    assert len(train) + len(val) == 24
    assert not set(train.indices) & set(val.indices)


def test_a_configuration_finds_the_objects_that_are_given_with_it_and_no_others():
    given = {"train": Blobs(24), "val": Blobs(9)}
    assert len(build_data.source(CFG, "val", whole=False, sources=given)) == 9
    assert len(build_data.source(CFG, "val", whole=False, sources={"train": Blobs(50)})) < 20
    with pytest.raises(ValueError, match=r"data=Blobs: was a Dataset object .* give data= again"):
        build_data.source(CFG, "val", whole=False)


def test_objects_beside_a_configuration_that_names_images_change_nothing():
    named = {"data": {"_target_": "ssl_patches.data.EmbeddedSource", "count": 7}, "image_size": 32}
    assert len(build_data.source(named, "val", whole=False, sources={"train": Blobs(24)})) == 7


def test_the_name_in_a_configuration_is_the_function_that_refuses():
    assert f"{live_source.__module__}.{live_source.__qualname__}" == LIVE
