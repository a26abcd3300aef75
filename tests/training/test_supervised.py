"""The baseline with labels: an image without one does not count, and its head follows the seed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ssl_patches.encoders import create
from ssl_patches.training.optim import AdamW
from ssl_patches.training.supervised import Supervised, classes_of
from ssl_patches.views import Whole


@pytest.fixture
def module() -> Supervised:
    torch.manual_seed(0)
    options = {"depth": 1, "embed_dim": 8, "num_heads": 1}
    encoder = create(name="vit_tiny_patch16_224", image_size=16, patch_size=8, options=options)
    rest = {"recipe": AdamW(), "batch_size": 4, "mean": [0.5] * 3, "std": [0.2] * 3}
    return Supervised(classes=3, encoder=encoder, views=Whole(image_size=16), **rest)


def test_an_image_without_a_label_does_not_count(module) -> None:
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, -1])
    loss, metrics = module.losses(images, labels)
    known, _ = module.losses(images[:3], labels[:3])
    torch.testing.assert_close(loss, known)
    assert 0 <= metrics["accuracy"] <= 1
    none, _ = module.losses(images, torch.full((4,), -1))
    assert none == 0


def test_without_labels_all_are_of_the_first_class(module) -> None:
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    zeros = torch.zeros(2, dtype=torch.long)
    assert module.losses(images)[0] == module.losses(images, zeros)[0]


def test_classes_are_counted_or_missed() -> None:
    assert classes_of(SimpleNamespace(labels=torch.tensor([0, -1, 4]))) == 5
    with pytest.raises(ValueError, match=r"data.root: the images have no classes"):
        classes_of(SimpleNamespace(labels=torch.tensor([-1, -1])))
