"""Frozen features."""

import pytest
import torch
from torch import nn

from ssl_patches.evaluation.features.extract import extract, raw_pixels
from ssl_patches.types import ImageBatch

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SEEN = {"mean": MEAN, "std": STD}


class Pool(nn.Module):
    """The mean of each channel; in train mode another feature altogether."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        return images.mean((2, 3)) if not self.training else -images.mean((2, 3)) + 100


def images(n=10, side=8, seed=0):
    return torch.randint(
        256, (n, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def batches(pixels, size=4):
    labels = torch.arange(len(pixels))
    return [
        ImageBatch(pixels[at : at + size], labels[at : at + size], labels[at : at + size])
        for at in range(0, len(pixels), size)
    ]


def test_features_are_those_of_pixels_normalised_in_0_to_1_in_the_order_of_the_loader():
    pixels = images()
    features, labels = extract(Pool(), batches(pixels), device="cpu", **SEEN)
    expected = (pixels.double().mean((2, 3)) / 255 - torch.tensor(MEAN).double()) / torch.tensor(
        STD
    ).double()
    assert torch.allclose(features.double(), expected, atol=1e-5)
    assert labels.tolist() == list(range(10))
    assert features.dtype == torch.float32


def test_features_are_of_eval_mode_and_each_submodule_gets_its_own_mode_back():
    model = Pool().train()
    model.norm.eval()  # frozen on purpose
    features, _ = extract(model, batches(images()), device="cpu", **SEEN)
    assert features.max() < 50  # train mode would give about 100
    assert model.training
    assert not model.norm.training


def test_the_mode_comes_back_after_an_error_too():
    model = Pool().train()
    with pytest.raises(ValueError, match="uint8"):
        extract(model, batches(images().float()), device="cpu", **SEEN)
    assert model.training


def test_how_images_are_batched_does_not_matter():
    pixels = images()
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    one, some = (extract(model, batches(pixels, size), device="cpu", **SEEN)[0] for size in (1, 7))
    assert torch.allclose(one, some, atol=1e-6)
    assert model[1].num_batches_tracked == 0  # and the statistics are untouched
    model.train()
    assert not torch.allclose(
        model(pixels[:1].float()).flatten(), model(pixels[:7].float())[0]
    )  # it could have mattered


def test_features_can_enter_a_computation_that_is_differentiated():
    features, _ = extract(Pool(), batches(images()), device="cpu", **SEEN)
    probe = nn.Linear(3, 2)
    probe(features).sum().backward()
    assert probe.weight.grad is not None


def test_progress_counts_every_image():
    told = []
    extract(Pool(), batches(images()), device="cpu", progress=told.append, **SEEN)
    raw_pixels(batches(images()), progress=told.append, **SEEN)
    assert told == [4, 4, 2, 4, 4, 2]


def test_bf16_gives_float32_features_that_differ_a_little():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    full, half = (
        extract(model, batches(images()), device="cpu", precision=p, **SEEN)[0]
        for p in ("fp32", "bf16")
    )
    assert half.dtype == torch.float32
    assert 0 < (full - half).abs().max() < 0.1


@pytest.mark.parametrize(("side", "kept"), [(4, 4), (16, 8)])
def test_raw_pixels_are_averaged_over_areas_and_never_enlarged(side, kept):
    pixels = images()
    features, _ = raw_pixels(batches(pixels), side=side, **SEEN)
    block = 8 // kept
    expected = pixels.double().view(10, 3, kept, block, kept, block).mean((3, 5)) / 255
    expected = (expected - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(features.double(), expected.flatten(1), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: raw_pixels(batches(images()), side=33, **SEEN), "side=33"),
        (lambda: raw_pixels(batches(images().float()), **SEEN), "uint8"),
        (lambda: raw_pixels(batches(images()[:, :1]), **SEEN), "1 channels"),
        (lambda: raw_pixels([], **SEEN), "no images"),
        (
            lambda: extract(nn.Identity(), batches(images()), device="cpu", **SEEN),
            r"gave \(4, 3, 8, 8\)",
        ),
        (
            lambda: extract(Pool(), batches(images()), device="cpu", precision="fp16", **SEEN),
            "precision=fp16",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
