"""Image and mask are cut alike, shares are learned, and nothing of the caller's is changed."""

import pytest
import timm
import torch

from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.miou import count_matches, miou
from ssl_patches.evaluation.probes import finetune_masks as module
from ssl_patches.evaluation.probes.finetune_masks import (
    ChosenMasks,
    PixelNet,
    cut_together,
    finetune_masks,
    loss_of_shares,
    scores_by,
)
from ssl_patches.evaluation.probes.segmentation import shares_of
from tests.evaluation.probes.test_label_efficiency import Bright


class Halves(Bright):
    """The upper part is dark, the lower bright; where they meet differs, and is what masks say."""

    def __init__(self, count, seed, side=32):
        super().__init__(count, seed, "masks")
        draw = torch.Generator().manual_seed(seed)
        self.at = torch.randint(8, 24, (count,), generator=draw)
        below = torch.arange(side) >= self.at[:, None]
        level = (60 + 120 * below)[:, None, :, None].expand(count, 3, side, side)
        self.images = (level + 40 * torch.rand(count, 3, side, side, generator=draw)).byte()
        self.mask = lambda at: below[at].long()[:, None].expand(side, side)


def net():
    torch.manual_seed(0)
    return timm.create_model(
        "resnet10t", num_classes=0, channels=(8, 16, 16, 16), layers=(1, 1, 1, 0), stem_width=8
    )


def eval_data(**options):
    shape = {"image_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    sources = {"train": Halves(12, 0), "test": Halves(6, 1)}
    return EvalData(**sources, batch_size=4, num_workers=0, **(shape | options))


def trained(data, **options):
    images = ChosenMasks(data.train, torch.arange(10))
    wanted = {"epochs": 30, "base_lr": 0.02, "layer_decay": 1.0}
    return finetune_masks(net(), images, data, **(wanted | options))


def test_boxes_of_image_and_mask_are_the_same():
    torch.manual_seed(0)
    masks = torch.rand(16, 8, 8).round().long().repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = masks[:, None].float().expand(-1, 3, -1, -1)
    seen, shares = cut_together(images, masks, side=64, classes=2, grid=(4, 4))
    of_image = torch.nn.functional.adaptive_avg_pool2d(seen[:, 0], (4, 4))
    assert (of_image - shares[:, 1]).abs().mean() < 0.04  # points of a mask are not blended
    assert (of_image - shares.flip(3)[:, 1]).abs().mean() > 0.1
    whole = shares_of(masks, classes=2, grid=(4, 4))
    assert (whole - shares).abs().amax((1, 2, 3)).min() > 0.05  # each is another part


def test_unlabelled_pixels_have_no_say():
    scores = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    masks = torch.tensor([[[0, 1], [2, -1]], [[1, 1], [-1, -1]]])
    shares = shares_of(masks, classes=3, grid=(2, 2))
    known = masks >= 0
    chosen = scores.permute(0, 2, 3, 1)[known]
    expected = torch.nn.functional.cross_entropy(chosen, masks[known])
    assert torch.allclose(loss_of_shares(scores, shares), expected, atol=1e-6)
    nothing = loss_of_shares(scores, torch.zeros(2, 3, 2, 2))
    assert nothing == 0


def test_it_learns_what_masks_say_and_leaves_the_callers_model_and_draws():
    data, model = eval_data(), net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    images = ChosenMasks(data.train, torch.arange(10))
    seen = []
    found = finetune_masks(
        model, images, data, epochs=30, base_lr=0.02, layer_decay=1.0, progress=seen.append
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sum(seen) == 38 * 8  # 300 images in steps of eight, rounded up
    asked = ChosenMasks(data.test, torch.arange(6))
    scores, masks = scores_by(found, asked, data)
    blank = PixelNet(model, classes=2, channels=3, side=32).eval()
    guessed, _ = scores_by(blank, asked, data)
    assert masks.shape == (6, 32, 32)
    after, at_first = (miou(count_matches(some, masks).sum(0)).item() for some in (scores, guessed))
    assert after > 0.75 > 0.5 > at_first


def test_the_same_draw_gives_the_same_network_to_the_bit():
    data = eval_data()
    one, other = (trained(data, epochs=2).state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    decayed = trained(data, epochs=2, layer_decay=0.5).state_dict()
    assert not torch.equal(decayed["encoder.conv1.0.weight"], one["encoder.conv1.0.weight"])


def test_a_loss_that_is_not_finite_is_refused(monkeypatch):
    monkeypatch.setattr(module, "loss_of_shares", lambda scores, _: scores.sum() * float("nan"))
    with pytest.raises(ValueError, match=r"finetune: the loss of step 1 is nan; take an earlier"):
        trained(eval_data(), epochs=1)
