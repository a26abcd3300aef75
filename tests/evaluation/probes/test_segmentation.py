"""mIoU, and dense probes of frozen feature maps."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from ssl_patches.data import EmbeddedSource
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.miou import count_matches, miou
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.segmentation import (
    Segmentation,
    SoftTargets,
    dense_pixels,
    dense_reader,
    knn_segmentation,
    linear_segmentation,
    scores_of,
    shares_of,
)


def scene(count, seed, classes=4, side=32, cell=8):
    """Masks of cells of one class each (N, side, side), and a feature map that says the class of
    each cell, with noise."""
    draw = torch.Generator().manual_seed(seed)
    cells = torch.randint(classes, (count, side // cell, side // cell), generator=draw)
    masks = cells.repeat_interleave(cell, 1).repeat_interleave(cell, 2).to(torch.int16)
    told = nn.functional.one_hot(cells, classes).permute(0, 3, 1, 2).float()
    noise = 0.3 * torch.randn(count, 6, *cells.shape[1:], generator=draw)
    return torch.cat([told, noise], 1), masks


def percent(scores, masks):
    return 100 * miou(count_matches(scores, masks).sum(0)).item()


def test_shares_count_the_pixels_of_each_cell_and_leave_out_what_is_unlabelled():
    mask = torch.tensor([[[0, 0, 2, -1], [0, 1, -1, -1]]])
    shares = shares_of(mask, classes=3, grid=(1, 2))
    assert shares[0, :, 0, 0].tolist() == [0.75, 0.25, 0]
    assert shares[0, :, 0, 1].tolist() == [0, 0, 0.25]


def test_an_oracle_scores_100_percent_and_shuffled_masks_score_chance():
    (train, masks), (test, truth) = scene(24, 0), scene(12, 1)
    right = {
        name: percent(scores, truth)
        for name, scores in scores_of(train, masks, test, classes=4).items()
    }
    assert {name: round(value) > 92 for name, value in right.items()} == {
        "linear": True,
        "knn": True,
    }, right
    # Bilinear enlargement rounds the corners of cells: at the cells' centres nothing is wrong.
    exact = {
        name: percent(scores, truth[:, 4::8, 4::8])
        for name, scores in scores_of(train, masks, test, classes=4).items()
    }
    assert exact == {"linear": 100, "knn": 100}
    shuffled = masks.flip(0).roll(1, 1)
    wrong = {
        name: percent(scores, truth)
        for name, scores in scores_of(train, shuffled, test, classes=4).items()
    }
    assert all(5 < value < 25 for value in wrong.values()), (
        wrong
    )  # blind guessing of 4 equal classes: 1 / 7 = 14 %


def test_knn_weighs_the_shares_of_the_nearest_by_cosine():
    memory = torch.tensor([[1.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [9.0, 9.0]])
    shares = torch.tensor(
        [[0.5, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    )  # half unlabelled; the last wholly so
    query = torch.tensor([[3.0, 0.0]])
    near = knn_segmentation(memory, shares, query, k=2, temperature=0.5)
    weight = (
        torch.tensor([1.0, 0.0]).div(0.5).softmax(0)
    )  # cosine 1 and 0; the unlabelled one, at 0.7, never votes
    assert torch.allclose(near, weight[None])
    assert torch.allclose(
        knn_segmentation(memory, shares, query, k=99, temperature=0.5).sum(1), torch.ones(1)
    )


def test_the_gradient_of_the_soft_regression_is_that_of_its_loss():
    draw = torch.Generator().manual_seed(0)
    x, shares = (
        torch.randn(50, 3, generator=draw),
        torch.rand(50, 4, generator=draw).softmax(1) * torch.rand(50, 1, generator=draw),
    )
    model = SoftTargets(x, shares, classes=4)
    model.fit(1e-2)
    flat = np.random.default_rng(0).normal(size=16)
    _, gradient = model._objective(flat, 1e-2)
    for at in range(16):
        step = np.zeros(16)
        step[at] = 1e-2
        slope = (
            model._objective(flat + step, 1e-2)[0] - model._objective(flat - step, 1e-2)[0]
        ) / 2e-2
        assert slope == pytest.approx(gradient[at], abs=2e-3)


def test_the_strength_is_chosen_on_the_last_images_of_train_and_never_on_test():
    train, masks = scene(20, 0)
    options = {"classes": 4, "strengths": [1.0, 1e-2, 1e-4], "held_out": 0.2}
    chosen = [
        linear_segmentation(train, masks, test, **options)[1]
        for test in (scene(3, 1)[0], torch.zeros(2, 10, 4, 4))
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0]["held_out"] == 4
    spoiled = masks.clone()
    spoiled[-4:] = 0  # only the held-out masks change, and with them what they choose by
    assert (
        linear_segmentation(train, spoiled, train[:1], **options)[1]["held_out_miou"]
        != chosen[0]["held_out_miou"]
    )
    assert linear_segmentation(train[:1], masks[:1], train[:1], **options)[1]["held_out"] == 0


def test_feature_maps_are_what_the_encoder_pools():
    for model in (
        timm.create_model(
            "vit_tiny_patch16_224",
            img_size=32,
            patch_size=8,
            num_classes=0,
            global_pool="avg",
            fc_norm=False,
            class_token=False,
            depth=2,
            embed_dim=48,
            num_heads=3,
        ),
        timm.create_model("resnet18", num_classes=0),
    ):  # fmt: skip
        images = torch.randn(2, 3, 32, 32)
        with torch.inference_mode():
            maps = dense_reader(model.eval())(images)
            assert torch.allclose(maps.mean((2, 3)), model(images), atol=1e-5)


def test_raw_pixels_of_a_cell_are_its_own():
    images = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).float()
    maps = dense_pixels((2, 2), each=4)(images)
    assert maps.shape == (2, 48, 2, 2)
    assert torch.equal(maps[1, :, 0, 1].sort().values, images[1, :, :4, 4:].flatten().sort().values)


def test_a_model_without_feature_maps_is_refused():
    with pytest.raises(ValueError, match="forward_intermediates"):
        dense_reader(nn.Flatten())


class Painted(nn.Module):
    """An encoder that sees what the embedded images hide from it: the mask of each image, found
    again by its pixels."""

    def __init__(self, *sources):
        super().__init__()
        self.known = {
            self.key(image): source.mask(index) for source in sources for image, _, index in source
        }

    @staticmethod
    def key(image):
        return (
            image[:, ::5, ::5].float().div(255).mul(1000).round().long().flatten().numpy().tobytes()
        )

    def forward_intermediates(self, images, *, indices, norm, intermediates_only):
        raw = (images * 0.25 + 0.5) * 255
        unknown = torch.zeros(images.shape[-2:], dtype=torch.uint8)
        masks = torch.stack([self.known.get(self.key(image.round()), unknown) for image in raw])
        return [shares_of(masks, classes=11, grid=(24, 24))]


def test_from_sources_to_rows_and_an_oracle_reaches_what_its_grid_allows():
    train, test = (
        EmbeddedSource(split=split, count=count, image_size=48)
        for split, count in (("train", 24), ("val", 8))
    )
    pixels = {"mean": [0.5] * 3, "std": [0.25] * 3, "image_size": 48}
    eval_data = EvalData(
        train=train, test=test, batch_size=10, num_workers=0, limit_test=6, **pixels
    )
    oracle, floor = (
        Segmentation().rows(ProbeInputs.of_images(encoder, eval_data, model=name, data="embedded"))
        for encoder, name in ((Painted(train, test), "trained"), (None, "raw_pixels"))
    )
    for rows, name in ((oracle, "trained"), (floor, "raw_pixels")):
        assert [row.metric for row in rows] == ["miou_linear", "miou_knn", "miou_ceiling"]
        assert {(row.model, row.data, row.n) for row in rows} == {(name, "embedded", 6)}
    linear, knn, ceiling = (row.value for row in oracle)
    assert 75 < ceiling <= 100
    assert knn > ceiling - 8
    assert linear > ceiling - 8
    assert floor[1].value < 60


def test_images_without_masks_are_refused():
    eval_data = EvalData(
        train=[], test=[], batch_size=1, num_workers=0, mean=[0], std=[1], image_size=8
    )
    with pytest.raises(ValueError, match="has no masks"):
        Segmentation().rows(ProbeInputs.of_images(None, eval_data, model="raw_pixels", data="d"))
