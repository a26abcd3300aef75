"""Agreement of views: rows belong to images, small crops stay small, collapse costs and is told."""

from __future__ import annotations

import pytest
import torch

from ssl_patches.encoders import create
from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.agree import Agree, compare_views, retrieval, same_places
from ssl_patches.training.budget import count_flops
from ssl_patches.types import Views
from ssl_patches.views import MultiCrop

VIT = {"depth": 1, "embed_dim": 48, "num_heads": 3}
RESNET = {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 0], "stem_width": 8}


def encoder(family: str):
    if family == "vit":
        return create(name="vit_tiny_patch16_224", image_size=32, patch_size=8, options=VIT)
    return create(name="resnet10t", image_size=32, output_stride=32, options=RESNET)


def put_together(family: str, **knobs):
    net = encoder(family)
    cutter = PatchSampler(image_size=32, unit=net.unit, multiple=net.multiple)
    return net, cutter, Agree(dim=net.dim, grid=cutter.grid, hidden=32, out=16, **knobs)


@pytest.mark.parametrize("family", ["vit", "resnet"])
@pytest.mark.parametrize("spread", ["tcr", "sigreg", "logdet"])
def test_every_spread_trains_every_family(family, spread):
    torch.manual_seed(0)
    net, cutter, task = put_together(family, spread=spread)
    output = task(cutter(Views(torch.rand(16, 3, 32, 32), 2, 2)), net)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(p.grad is not None for p in task.parameters())
    assert output.metrics["chance"] == 1 / 8


def test_rows_that_follow_each_other_belong_to_one_image():
    first, second = torch.randn(8, 4), torch.randn(8, 4)
    assert retrieval(first, first)["accuracy"] == 1
    disagreement, _ = compare_views(torch.stack([first, first], 1), first, spread="sigreg")
    assert disagreement == 0
    assert compare_views(torch.stack([first, second], 1), first, spread="tcr")[0] > 0.1


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_a_view_through_tiles_is_the_view_through_the_network(family):
    torch.manual_seed(0)
    net, cutter, _ = put_together(family)
    net, cutter = net.eval(), cutter.eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        whole = net.features((images - cutter.mean) / cutter.std)[0].pooled
        assert torch.allclose(net.pooled(cutter(images)), whole, atol=1e-5)


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_a_small_crop_costs_what_its_area_says(family):
    torch.manual_seed(0)
    net, cutter, task = put_together(family)

    def flops(small: int) -> float:
        def step(twin: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            large = images.repeat_interleave(2, 0)
            few = images[..., :16, :16].repeat_interleave(small, 0) if small else None
            return task(cutter(Views(large, 2, 2, few, small)), twin).loss

        return count_flops(net, step, torch.rand(4, 3, 32, 32))

    large, both = flops(0), flops(4)
    assert both / large == pytest.approx(1.5, abs=0.1), "four quarters beside two whole views"


def test_small_crops_of_a_vit_span_the_places_of_a_whole_view():
    net, cutter, _ = put_together("vit")
    small = cutter(Views(torch.rand(2, 3, 32, 32), 2, 2, torch.rand(2, 3, 16, 16), 2)).small
    assert small is not None
    found = net._positions(small.boxes, 1, 1, small.size)[0, :, 0]
    centres = net._positions(
        torch.tensor([[[4.0, 4.0, 8.0, 8.0], [20.0, 20.0, 8.0, 8.0]]]), 1, 1, (32, 32)
    )
    assert torch.allclose(found[[0, 3]], centres[0, :, 0], atol=1e-5)


def test_one_view_of_an_image_cannot_be_compared():
    net, cutter, task = put_together("vit")
    with pytest.raises(ValueError, match="views=two_crops"):
        task(cutter(torch.rand(4, 3, 32, 32)), net)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"spread": "nce"}, "task.spread=nce"),
        ({"spread_weight": -1.0}, "task.spread_weight=-1.0"),
        ({"spread_weight": float("nan")}, "task.spread_weight=nan"),
    ],
)
def test_knobs_that_cannot_be_meant_are_refused(knobs, said):
    with pytest.raises(ValueError, match=said):
        put_together("vit", **knobs)


def test_features_are_read_at_the_place_that_the_first_view_shows():
    """Features are the coordinates in the image themselves, so every view has to say the same."""
    torch.manual_seed(0)
    images = torch.rand(8, 3, 40, 40)
    made = MultiCrop(image_size=32, small=0, large_scale=(0.2, 0.4), near=0.3)(images)
    patches = PatchSampler(image_size=32, unit=4)(made)
    y, x, h, w = made.boxes[:, None].unbind(-1)
    down, along = (patches.boxes[..., :2] + 2).div(32).unbind(-1)
    features = torch.stack([y + down * h, x + along * w], -1)
    matched, shown = same_places(features, patches)
    matched = matched[shown]
    assert matched.shape[0] > 8 * 8, "crops that are near overlap"
    inner = (matched[:, 0] - matched[:, 1]).abs().amax(-1)
    # within half a cell of its edge a view is read at its edge
    assert inner.median() < 1e-3
    assert inner.max() < 40 / 8


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_positions_are_compared_with_their_own_place_only(family):
    torch.manual_seed(0)
    net, cutter, task = put_together(family, positions=True)
    net, task = net.eval(), task.eval()
    images = torch.rand(3, 3, 32, 32).repeat_interleave(2, 0)
    box = torch.tensor([0.0, 0.0, 32.0, 32.0])
    alike = task(cutter(Views(images, 2, 2, boxes=box.expand(6, 4))), net)
    assert alike.metrics["agreement"].abs() < 1e-5
    images[1::2] = images[1::2].flip(-1)
    wrong = task(cutter(Views(images, 2, 2, boxes=box.expand(6, 4))), net)
    assert wrong.metrics["agreement"] > 1e-4
    assert wrong.features is not None
    assert wrong.features.shape == (6, net.dim)


def test_positions_want_several_tiles_and_crops_of_one_side():
    net = encoder("resnet")
    whole = PatchSampler(image_size=32, rows=1, cols=1, tile=32, gap=0, multiple=net.multiple)
    with pytest.raises(ValueError, match="sampler=tokens"):
        Agree(dim=net.dim, grid=whole.grid, positions=True)
    net, cutter, task = put_together("vit", positions=True)
    both = Views(torch.rand(4, 3, 32, 32), 2, 2, torch.rand(4, 3, 16, 16), 2)
    with pytest.raises(ValueError, match=r"views.large=0 or views.small=0"):
        task(cutter(both), net)
    with pytest.raises(ValueError, match="views=near_crops"):
        task(cutter(Views(torch.rand(4, 3, 32, 32), 2, 2)), net)


def test_small_crops_without_large_ones_are_cut_on_a_grid_of_their_own():
    net, cutter, task = put_together("vit", positions=True)
    box = torch.tensor([0.0, 0.0, 16.0, 16.0]).expand(4, 4)
    patches = cutter(Views(torch.rand(4, 3, 16, 16), 2, 2, boxes=box))
    assert (patches.size, patches.tiles.shape[:2], patches.complete) == ((16, 16), (4, 4), True)
    assert torch.isfinite(task(patches, net).loss)


@pytest.mark.parametrize("spread", ["tcr", "sigreg", "logdet"])
def test_rows_that_do_not_count_are_as_if_they_were_not_there(spread):
    torch.manual_seed(0)
    views, shown = torch.randn(80, 2, 6), torch.rand(80) < 0.5
    found = []
    for given, which in ((views[shown], None), (views, shown)):
        torch.manual_seed(1)
        losses = compare_views(given, given.mean(1), spread=spread, shown=which)
        found.append([*losses, *retrieval(*given.unbind(1), which).values()])
    for picked, left_out in zip(*found, strict=True):
        assert float(picked) == pytest.approx(float(left_out), rel=1e-5)


def test_a_batch_without_a_place_that_all_views_show_has_a_finite_loss():
    torch.manual_seed(0)
    net, cutter, task = put_together("vit", positions=True)
    far = torch.tensor([[0.0, 0.0, 8.0, 8.0], [24.0, 24.0, 8.0, 8.0]]).repeat(4, 1)
    output = task(cutter(Views(torch.rand(8, 3, 32, 32), 2, 2, boxes=far)), net)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(value) for value in output.metrics.values())
