"""Only images with a label are learned from."""

import pytest
import torch
from torch.utils.data import Dataset

from ssl_patches.evaluation.probes.labelled_images import Labelled


class Bright(Dataset):
    """Class 0 is dark, class 1 bright."""

    def __init__(self, count):
        self.labels = torch.arange(count) % 2

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.full((3, 4, 4), int(self.labels[index])), int(self.labels[index]), index


def test_images_without_a_class_are_left_out_and_a_smaller_part_lies_in_a_larger():
    source = Bright(40)
    source.labels[::4] = -1
    assert len(Labelled(source)) == 30
    some, more = (set(Labelled(source, limit=limit).indices) for limit in (5, 20))
    assert some < more
    assert all(source.labels[at] >= 0 for at in more)
    source.labels[:] = -1
    with pytest.raises(ValueError, match="needs images with labels"):
        Labelled(source)


def test_an_item_is_known_by_its_place_and_one_that_stands_in_is_left_out():
    source = Bright(6)
    source.labels[0] = -1
    images = Labelled(source)
    assert [images[at][2] for at in range(len(images))] == [0, 1, 2, 3, 4]
    images.source = [(image, label, 5) for image, label, _ in (source[at] for at in range(6))]
    assert images[0][2] == -1
