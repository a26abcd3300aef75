"""One pass reads both splits alike; images without a label are left out."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from ssl_patches.evaluation import EvalData
from ssl_patches.evaluation.features.passes import (
    kind_of_sources,
    read_features,
    seen_in_training,
    with_label,
)


class Greys(Dataset):
    """Image i has grey level i everywhere; every third has no label."""

    def __init__(self, count=9):
        self.labels = torch.arange(count)
        self.labels[::3] = -1

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.full((1, 8, 8), index, dtype=torch.uint8), int(self.labels[index]), index


def data(train=None, test=None):
    pixels = {"mean": [0.0], "std": [1 / 255], "image_size": 8}
    return EvalData(
        train=train or Greys(), test=test or Greys(), batch_size=4, num_workers=0, **pixels
    )


class Level(nn.Module):
    """The mean level, times a factor that may change between the passes."""

    def __init__(self, drift=0.0):
        super().__init__()
        self.drift, self.calls = drift, 0

    def forward(self, images):
        self.calls += 1
        return images.mean((2, 3)) * (1 + self.drift * self.calls)


def test_both_splits_hold_the_features_of_labelled_images_in_order():
    counted = []
    train, test = read_features(
        {"trained": Level(), "raw_pixels": None},
        {"trained": {"pooled"}, "raw_pixels": {"pooled"}},
        data(),
        "class",
        counted.append,
    )
    for split in (train, test):
        assert split.index.tolist() == split.labels.tolist() == [1, 2, 4, 5, 7, 8]
        assert split.names("trained") == ["pooled"]
        found = split.features["trained", "pooled"][:, 0]
        assert torch.allclose(found, split.labels.float(), atol=1e-3)
        assert split.features["raw_pixels", "pooled"].shape == (6, 64)
    assert sum(counted) == 18


def test_a_model_that_changes_while_it_is_read_is_refused():
    with pytest.raises(ValueError, match="gave other features in the pass"):
        read_features({"m": Level(drift=0.1)}, {"m": {"pooled"}}, data(), "class")


def test_where_nothing_is_asked_for_no_image_is_read():
    train, test = read_features({"m": None}, {"m": set()}, data(train=[1]), "class")
    assert len(train.index) == len(test.labels) == 0


def test_labels_that_are_missing_or_of_two_kinds_are_refused():
    assert kind_of_sources(data(), "auto") == "class"
    with pytest.raises(ValueError, match="none of the 2 test images has a label"):
        with_label(torch.tensor([-1, -1]), "class", "test")
    other = Greys()
    other.labels = other.labels.float()
    with pytest.raises(ValueError, match="train has class labels and test value"):
        kind_of_sources(data(test=other), "auto")


@pytest.mark.parametrize("shared", [0, 1, 4])
def test_test_images_that_training_shows_too_are_counted_by_their_pixels(shared):
    """Whatever they are called and in whatever order they come."""

    class Some(Greys):
        def __init__(self, levels):
            self.labels, self.levels = torch.ones(len(levels)).long(), levels

        def __getitem__(self, index):
            return torch.full((1, 8, 8), self.levels[index], dtype=torch.uint8), 1, index

    train, test = read_features(
        {"raw_pixels": None},
        {"raw_pixels": {"pooled"}},
        data(Some(list(range(10))), Some([50, *range(9, 9 - shared, -1), 60])),
        "class",
    )
    assert seen_in_training(train, test) == [(1 + at, 9 - at) for at in range(shared)]
