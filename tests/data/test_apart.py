"""What is looked at beforehand leaves the Dataset as it was."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from ssl_patches.data.apart import looked_at
from ssl_patches.data.build import source
from ssl_patches.data.items import ItemSource
from ssl_patches.data.live import LIVE
from ssl_patches.data.module import items_of, ordered_loader
from ssl_patches.data.wrapped import as_source


class Late:
    """Opens when the first item is asked for, and has no labels but those of its items."""

    def __init__(self) -> None:
        self.opened = False

    def __len__(self) -> int:
        return 30

    def __getitem__(self, at: int) -> tuple[np.ndarray, int]:
        self.opened = True
        return np.full((8, 8, 3), at, np.uint8), at % 3


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
@pytest.mark.parametrize("kind", ["items", "own source", "wrapped"])
def test_nothing_but_a_worker_opens_a_dataset(kind: str) -> None:
    data = Late()
    if kind == "items":
        found = ItemSource(data, where="data", split="train", image_size=8)
        assert set(found.labels.tolist()) == {0, 1, 2}
    else:
        data.fingerprint = lambda: "x"
        found = as_source(data)
    assert not data.opened
    assert len(items_of(found, [0, 1])) == 2
    images = torch.cat([batch.images for batch in _batches(found)])
    assert len(images) == len(found)
    assert not data.opened


def _batches(found):
    if isinstance(found, ItemSource):
        return list(ordered_loader(found, batch_size=8, num_workers=0))
    return [type("Batch", (), {"images": torch.zeros(len(found), 1)})]


def test_without_workers_the_dataset_is_read_here() -> None:
    data = Late()
    cfg = {
        "data": {"_target_": LIVE, "name": "x", "num_workers": 0},
        "image_size": 8,
    }
    found = source(cfg, "train", whole=True, sources={"train": data})
    assert data.opened
    assert not found.reads_apart


def test_errors_arrive_as_they_are() -> None:
    class Own(Exception):
        pass

    def wrong(_: object) -> None:
        raise ValueError("item 3 has no image; give it one")

    with pytest.raises(ValueError, match=r"^item 3 has no image; give it one$"):
        looked_at(None, wrong)
    with pytest.raises(ZeroDivisionError) as caught:
        looked_at(0, lambda zero: 1 / zero)
    assert "looked at the data" in "".join(getattr(caught.value, "__notes__", []))
