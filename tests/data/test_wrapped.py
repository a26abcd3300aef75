"""A class of somebody else's is a source, with defaults for what it lacks."""

from __future__ import annotations

import pickle

import torch

from ssl_patches.data.masks import WithMasks
from ssl_patches.data.source import HasMasks, ImageSource
from ssl_patches.data.wrapped import as_source


class Foreign:
    """A source that somebody wrote without our base class."""

    def __init__(self) -> None:
        self.labels, self.asked = torch.tensor([1, 0]), "own"

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        return torch.zeros(3, 4, 4, dtype=torch.uint8), int(self.labels[index]), index

    def fingerprint(self) -> str:
        return "abc"


class Masked(Foreign):
    mask_classes, objects = ("sky", "thing"), (1,)

    def mask(self, index: int) -> torch.Tensor:
        return torch.full((2, 2), index)


def test_a_source_of_somebody_elses_class_has_defaults_for_what_it_lacks() -> None:
    found = as_source(Foreign())
    assert isinstance(found, ImageSource)
    assert (len(found), found[1][1], found.fingerprint()) == (2, 0, "abc")
    assert torch.equal(found.labels, torch.tensor([1, 0]))
    assert (found.classes, found.paths, found.split_rule, found.load_size) == ((), (), "", None)
    assert found.unreadable() == []
    found.fill_cache(num_workers=0)
    assert found.asked == "own"
    assert as_source(found) is found
    assert pickle.loads(pickle.dumps(found)).fingerprint() == "abc"


def test_a_source_that_has_masks_has_them_wrapped_too() -> None:
    assert not isinstance(as_source(Foreign()), HasMasks)
    found = as_source(Masked())
    assert isinstance(found, HasMasks)
    assert WithMasks(found)[1][1].tolist() == [[1, 1], [1, 1]]
