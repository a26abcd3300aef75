"""The embedded images: which shapes hang where says the class; nothing else does."""

from __future__ import annotations

import hashlib
import itertools
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from ssl_patches.data import embedded
from ssl_patches.data.embedded import KINDS, EmbeddedSource, arrangement, class_name

PINNED = "e9a9fc018327f8df262b27622c9c5064774f935fa1341c94e0d3b9d6ae98b57e"
MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


HALVES = (slice(0, 32), slice(32, 64))


def load(split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    source = EmbeddedSource(split=split, count=count)
    return torch.stack([source[i][0] for i in range(len(source))]), source.labels


def normalised(images: Tensor) -> Tensor:
    return (images.float() / 255 - MEAN) / STD


def knn(train: Tensor, labels: Tensor, val: Tensor, truth: Tensor) -> float:
    """Weighted kNN, k = 20, cosine, temperature 0.07, in percent."""
    near, which = (F.normalize(val, dim=1) @ F.normalize(train, dim=1).T).topk(20, 1)
    votes = torch.zeros(len(val), 10).scatter_add_(1, labels[which], (near / 0.07).exp())
    return (votes.argmax(1) == truth).float().mean().item() * 100


def histograms(images: Tensor, bins: int = 16) -> np.ndarray:
    rows = (images.long() * bins // 256 + bins * torch.arange(3)[:, None, None]).flatten(1)
    return (
        torch.zeros(len(images), 3 * bins).scatter_add_(1, rows, torch.ones(rows.shape)).numpy()
        / rows.shape[1]
    )


def histogram_accuracy(train: Tensor, labels: Tensor, val: Tensor, truth: Tensor) -> float:
    model = LogisticRegression(max_iter=300, C=100.0).fit(histograms(train), labels.numpy())
    return model.score(histograms(val), truth.numpy()) * 100


def test_pixels_are_pinned():
    """The pixels of a drawing version never change: a new hash here needs a new ``DRAWING``."""
    pixels = hashlib.sha256()
    for split, size, channels in (
        ("train", 64, 3),
        ("val", 64, 3),
        ("train", 32, 1),
        ("train", 96, 5),
    ):
        source = EmbeddedSource(split=split, image_size=size, channels=channels)
        for i in (0, 1, 500):
            pixels.update(source[i][0].numpy().tobytes() + bytes([source[i][1]]))
    assert (embedded.DRAWING, pixels.hexdigest()) == (3, PINNED)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["train", "val"]),
    st.integers(0, 19),
    st.sampled_from([32, 45, 64, 128]),
)
def test_an_image_is_a_function_of_seed_split_index_and_size(seed, split, i, size):
    """Neither ``count`` nor what was drawn before changes an image, its label or its mask."""
    a = EmbeddedSource(seed=seed, split=split, image_size=size, count=20)
    b = EmbeddedSource(seed=seed, split=split, image_size=size, count=33)
    b[(i + 1) % 20]
    assert torch.equal(a[i][0], b[i][0])
    assert a[i][1:] == b[i][1:] == (int(a.labels[i]), i)
    assert torch.equal(a.mask(i), b.mask(i))


def test_seed_split_and_index_all_change_the_image():
    """No two images of several sources are the same; train and val share none."""
    sources = [EmbeddedSource(split=s, seed=k, count=100) for s in ("train", "val") for k in (0, 1)]
    drawn = [source[i][0].numpy().tobytes() for source in sources for i in range(100)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_what_a_source_hands_out(channels):
    """Shapes, types, names and counts are as the class says, for any number of channels."""
    source = EmbeddedSource(split="val", channels=channels, image_size=48)
    image, label, index = source[-1]
    assert (image.shape, image.dtype, index) == ((channels, 48, 48), torch.uint8, 999)
    assert isinstance(label, int)
    assert (source.labels.shape, source.labels.dtype) == ((1000,), torch.int64)
    assert (source.mask(3).shape, source.mask(3).dtype) == ((48, 48), torch.uint8)
    assert len(set(source.classes)) == 10
    assert len(EmbeddedSource()) == 4000


def test_classes_are_balanced_under_any_stride():
    """Ten consecutive images show each class once, and every second or tenth image still meets all
    classes."""
    labels = EmbeddedSource(count=1000).labels
    assert (labels.reshape(100, 10).sort(1).values == torch.arange(10)).all()
    assert all(len(labels[::step].unique()) == 10 for step in (2, 5, 10))


def test_classes_share_one_part_at_most_and_every_part_is_worn_as_often():
    """Three different parts of ten a class; each part is in three, in each row once."""
    worn = [set(arrangement(label)) for label in range(10)]
    assert all(len(parts) == 3 for parts in worn)
    assert max(len(a & b) for a, b in itertools.combinations(worn, 2)) == 1
    for slots in ((0, 4), (2,), (1, 3)):
        rows = [{arrangement(label)[slot] for slot in slots} for label in range(10)]
        assert sorted(map(list, rows)) == [[kind] for kind in range(10)]
    assert len({class_name(label) for label in range(10)}) == 10


def test_a_flipped_mobile_is_of_the_same_kind():
    """Mirroring x maps slot s to slot 4 - s, which wears the same part."""
    assert np.array_equal(embedded.SLOTS[::-1], embedded.SLOTS * [1, -1])
    assert all(arrangement(label) == arrangement(label)[::-1] for label in range(10))


def test_the_mask_shows_the_arrangement_that_the_class_names():
    """Row by row, from the top, the parts are those that the class is called after."""
    source = EmbeddedSource(count=60, image_size=96)
    for i, label in enumerate(source.labels.tolist()):
        kinds = arrangement(label)
        mask = source.mask(i).numpy()
        assert set(np.unique(mask)) == {0, *(kind + 1 for kind in kinds)}
        height = {kind: np.argwhere(mask == kind + 1)[:, 0].mean() for kind in set(kinds)}
        assert class_name(label) == "-".join(KINDS[kind] for kind in sorted(height, key=height.get))


@pytest.mark.parametrize(("size", "least"), [(32, 10), (64, 45), (256, 750)])
def test_every_part_is_in_every_image(size, least):
    """At every size all kinds of parts are visible, whole, and never touch the border."""
    source = EmbeddedSource(count=60, image_size=size)
    for i in range(60):
        mask = source.mask(i)
        assert mask.unique(return_counts=True)[1].min() >= least
        assert len(mask.unique()) == 4
        assert not torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


def test_sizes_show_the_same_scene():
    """Image i at 128 px, averaged two by two, is image i at 64 px but for the grain; another image
    is not."""
    small, large = EmbeddedSource(count=10), EmbeddedSource(count=10, image_size=128)
    halved = [F.avg_pool2d(large[i][0].float(), 2).flatten() for i in range(10)]
    drawn = [small[i][0].float().flatten() for i in range(10)]
    alike = torch.corrcoef(torch.stack(halved + drawn))[:10, 10:]
    assert (alike.argmax(1) == torch.arange(10)).all()
    assert alike.diagonal().min() > 0.85


def test_light_tells_no_place():
    """On average no corner of an image is brighter than another one."""
    images = load("train", 300)[0].float().mean(1)
    corners = [images[:, y, x].mean((1, 2)) for y in HALVES for x in HALVES]
    deviation = torch.stack(corners).std(1).mean() / 300**0.5
    assert max(abs(a.mean() - b.mean()) for a in corners for b in corners) < 5 * deviation


def test_colours_do_not_tell_the_class():
    """A classifier on channel histograms stays at chance; the same classifier sees colours that do
    depend on it."""
    (images, labels), (val, truth) = load("train", 1000), load("val", 400)
    assert histogram_accuracy(images, labels, val, truth) < 17  # chance 10, standard error 1.5
    leaky = [
        ((x.long() * (2 + y[:, None, None, None])) // 12).to(torch.uint8)
        for x, y in ((images, labels), (val, truth))
    ]
    assert histogram_accuracy(leaky[0], labels, leaky[1], truth) > 17


def test_raw_pixels_say_little():
    """Weighted kNN on normalised pixels is far below what the arrangement allows."""
    (images, labels), (val, truth) = load("train", 1000), load("val", 300)
    assert knn(normalised(images).flatten(1), labels, normalised(val).flatten(1), truth) < 35


def test_fingerprint_names_the_images(monkeypatch):
    """Equal parameters, equal fingerprint; every parameter and the drawing version change it."""
    base = EmbeddedSource().fingerprint()
    assert base == EmbeddedSource(count=4000, split="train").fingerprint()
    others = [{"split": "val"}, {"count": 10}, {"image_size": 32}, {"channels": 1}, {"seed": 1}]
    prints = {EmbeddedSource(**changed).fingerprint() for changed in others}
    monkeypatch.setattr(embedded, "DRAWING", -1)
    assert len(prints | {base, EmbeddedSource().fingerprint()}) == 7


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"split": "test"}, "data.split=test"),
        ({"count": 0}, "data.count=0"),
        ({"image_size": 31}, "image_size=31"),
        ({"image_size": 257}, "image_size=257"),
        ({"channels": 0}, "data.channels=0"),
        ({"seed": -1}, "data.seed=-1"),
        ({"seed": 2**32}, "data.seed=4294967296"),  # a longer seed would run into the split's word
    ],
)
def test_bad_arguments_are_named(wrong, key):
    """The error starts with key and value, and ends with what to set."""
    with pytest.raises(ValueError, match=rf"^{key}: .*; "):
        EmbeddedSource(**wrong)


def test_an_index_out_of_range_ends_iteration():
    """``list(source)`` ends, and a negative index counts from the end."""
    source = EmbeddedSource(count=3, image_size=32)
    assert [i for _, _, i in source] == [0, 1, 2]
    assert source[-1][2] == 2
    with pytest.raises(IndexError):
        source.mask(3)


def small_network(width: int = 16) -> nn.Sequential:
    def block(n: int, m: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU()]

    w = width
    body = [
        *block(3, w, 2),
        *block(w, 2 * w, 2),
        *block(2 * w, 2 * w, 1),
        *block(2 * w, 4 * w, 2),
        *block(4 * w, 4 * w, 1),
    ]
    return nn.Sequential(*body, nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * w * 64, 10))


def supervised_accuracy(
    images: Tensor, labels: Tensor, val: Tensor, truth: Tensor, *, epochs: int
) -> float:
    """A small CNN trained with random shifts of at most 4 px, in percent."""
    torch.manual_seed(0)
    net, steps = small_network(), epochs * (len(images) // 64)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64)[: len(images) // 64]:
            y, x = torch.randint(0, 9, (2,)).tolist()
            shifted = F.pad(images[rows], (4, 4, 4, 4), mode="replicate")[
                ..., y : y + 64, x : x + 64
            ]
            loss = F.cross_entropy(net(shifted), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return (net(val).argmax(1) == truth).float().mean().item() * 100


@pytest.mark.slow
def test_floors_and_ceiling_of_the_full_set(capsys):
    """4000/1000 images: pixels, untrained networks and colours stay low, a small supervised CNN
    exceeds 95 %."""
    import timm

    start = time.process_time()
    (images, labels), (val, truth) = load("train"), load("val")
    figures = {"images_per_second": 5000 / (time.process_time() - start)}
    figures["histograms"] = histogram_accuracy(images, labels, val, truth)
    images, val = normalised(images), normalised(val)
    figures["raw_pixels"] = knn(images.flatten(1), labels, val.flatten(1), truth)
    vit = {"img_size": 64, "patch_size": 8, "class_token": False, "global_pool": "avg"}
    for name, options in (("resnet18", {}), ("vit_tiny_patch16_224", vit)):
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, num_classes=0, **options).eval()
        with torch.no_grad():
            known, asked = (
                torch.cat([model(part) for part in x.split(250)]) for x in (images, val)
            )
        figures[name] = knn(known, labels, asked, truth)
    start = time.process_time()
    figures["supervised"] = supervised_accuracy(images, labels, val, truth, epochs=8)
    figures["supervised_cpu_seconds"] = time.process_time() - start
    with capsys.disabled():
        print("", *(f"{key} {value:.1f}" for key, value in figures.items()), sep="\n  ")
    assert figures["histograms"] < 14
    assert max(figures[key] for key in ("raw_pixels", "resnet18", "vit_tiny_patch16_224")) < 40
    assert figures["supervised"] > 95
