"""The roles of patches, on encoders whose answers are known."""

import pytest
import timm
import torch
import torch.nn.functional as F
from patch_roles.invariance import CHANGES, invariance, recolour
from patch_roles.look import Look, grid_boxes
from patch_roles.objects import attention_maps, on_objects
from patch_roles.protocol import NUMBERS
from patch_roles.roles import (
    Shown,
    bag,
    evaluate_roles,
    mean_row,
    relation_rows,
    size_rows,
    tile_rows,
)
from patch_roles.sizes import (
    at_size,
    forward_flops,
    speed,
    tokens,
    usable_sizes,
)
from torch import nn
from torch.utils.data import Dataset

from ssl_patches.data import EmbeddedSource
from ssl_patches.evaluation.attention import attends
from ssl_patches.evaluation.features.eval_data import EvalData

OF = {"model": "toy", "data": "toy"}


class Pooled(nn.Module):
    """Sees ``side`` x ``side`` mean colours."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, images):
        return F.adaptive_avg_pool2d(images, self.side).flatten(1)


def look(model, size=32):
    return Look(model, size, [0.5] * 3, [0.5] * 3)


def vit(**options):
    torch.manual_seed(0)
    options = {
        "depth": 2,
        "embed_dim": 48,
        "num_heads": 3,
        "global_pool": "avg",
        "fc_norm": False,
        "class_token": False,
    } | options
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=0, **options
    ).eval()


def noise(count, size=64, seed=0):
    return torch.randint(
        256,
        (count, 3, size, size),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.uint8,
    )


def percent(rows):
    return {row.metric: row.value for row in rows}


def test_tiles_are_cut_where_the_boxes_say():
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    image = torch.stack([y, x, 0 * x]).to(torch.uint8)[None]
    seen = look(Pooled(1), 16).tiles(image, grid_boxes(2, 0.5))[0]
    centres = (seen[:, :2] * 0.5 + 0.5) * 255
    assert torch.allclose(
        centres, torch.tensor([[15.5, 15.5], [15.5, 47.5], [47.5, 15.5], [47.5, 47.5]]), atol=0.1
    )
    assert grid_boxes(1, 0.5).tolist() == [[0.25, 0.25, 0.5, 0.5]]
    assert grid_boxes(3, 0.5)[:, :2].unique().tolist() == [0, 0.25, 0.5]


def test_a_bag_weighs_its_tiles_alike_whatever_their_length():
    assert bag(torch.tensor([[[3.0, 0.0], [0.0, 0.1]]])).tolist() == [[0.5, 0.5]]


def test_what_stands_in_a_corner_is_found_by_four_tiles_and_missed_by_the_central_one():
    labels = torch.arange(80) % 2
    images = noise(80)
    images[:, :, 52:, 52:] = (255 * labels[:, None, None, None]).to(torch.uint8)
    parts = Shown(images[:50], labels[:50]), Shown(images[50:], labels[50:])
    found = percent(tile_rows(look(Pooled(2)), *parts, **OF))
    assert found["tiles4_knn20_top1"] == found["scale100_knn20_top1"] == 100
    assert found["tiles1_knn20_top1"] < 80
    assert found["tiles1_knn20_top1"] == found["scale50_knn20_top1"]
    assert list(found) == [
        f"{name}_knn20_top1"
        for name in (
            "tiles1",
            "tiles4",
            "tiles9",
            "tiles16",
            "scale25",
            "scale50",
            "scale75",
            "scale100",
        )
    ]


def test_relations_are_told_by_tiles_that_show_their_place_and_not_by_noise():
    y, x = torch.meshgrid(torch.linspace(0, 200, 64), torch.linspace(0, 200, 64), indexing="ij")
    images = (torch.stack([y, x, 0 * x]) + 50 * torch.rand(120, 3, 64, 64)).to(torch.uint8)
    labels = torch.full((120,), -1)
    placed = relation_rows(
        look(Pooled(1)), Shown(images[:60], labels[:60]), Shown(images[60:], labels[60:]), **OF
    )
    assert percent(placed)["relation_top1"] > 95
    random = relation_rows(
        look(Pooled(2)), Shown(noise(60), labels[:60]), Shown(noise(160, seed=1), labels), **OF
    )
    assert percent(random)["relation_top1"] < 12.5 + 3 * 2.6


def test_a_mean_colour_is_invariant_to_a_flip_and_a_picture_is_not():
    images = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    images[..., 32:] = 255
    assert torch.allclose(
        invariance(look(Pooled(4)), images)["flip"], torch.full((4,), -1.0), atol=1e-3
    )
    assert torch.allclose(
        invariance(look(Pooled(1)), noise(4) // 2)["flip"], torch.ones(4), atol=1e-5
    )


def test_a_picture_that_repeats_itself_after_an_eighth_is_invariant_to_the_shift_alone():
    images = noise(6, 8).repeat(1, 1, 8, 8)  # the encoder sees pixels; 56 of 64 px become 56
    seen = invariance(look(Pooled(56), 56), images)
    assert torch.allclose(seen["shift"], torch.ones(6), atol=1e-4)
    assert seen["scale"].max() < 0.9
    other = invariance(look(Pooled(56), 56), noise(6))
    assert other["shift"].abs().max() < 0.2


def test_an_image_is_compared_with_all_others_and_recolouring_by_1_changes_nothing(
    monkeypatch,
):
    images = noise(5, 16)
    found = invariance(look(Pooled(4)), images)
    whole = F.normalize(look(Pooled(4))(images), dim=1)
    by_hand = torch.stack(
        [sum(whole[i] @ whole[j] for j in range(5) if j != i) / 4 for i in range(5)]
    )
    assert torch.allclose(found["other"], by_hand, atol=1e-6)
    assert found["colour"].min() < 0.999
    monkeypatch.setitem(NUMBERS["invariance"], "colour", 0.0)
    assert torch.allclose(invariance(look(Pooled(4)), images)["colour"], torch.ones(5), atol=1e-5)


def test_recolouring_by_hand():
    pixels = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    brighter = recolour(pixels, torch.tensor([1.5, 1.0, 1.0]).view(3, 1, 1, 1, 1))
    assert torch.allclose(brighter, 1.5 * pixels)
    grey = recolour(pixels, torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1, 1, 1))
    assert torch.allclose(grey, torch.full_like(grey, 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6))


def test_it_does_not_depend_on_batches_nor_on_the_random_state_and_leaves_it_alone():
    images, state = noise(7), torch.get_rng_state()
    whole = invariance(look(Pooled(4)), images)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    parts = invariance(Look(Pooled(4), 32, [0.5] * 3, [0.5] * 3, batch_size=2), images)
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)


def test_one_image_has_no_other():
    with pytest.raises(ValueError, match="2 or more"):
        invariance(look(Pooled(1)), noise(1))


@pytest.mark.parametrize("token", [False, True])
def test_attention_is_that_of_the_last_block_from_its_query(token):
    model = vit(class_token=token)
    images = noise(3)
    maps = attention_maps(look(model), images)
    assert maps.shape == (3, 4, 4)
    assert torch.allclose(maps.sum((1, 2)), torch.ones(3))

    inputs = []
    block = model.blocks[-1]
    hook = block.attn.register_forward_hook(lambda module, args, out: inputs.append(args[0]))
    with torch.inference_mode():
        view = look(model)
        model(view.normalised(view.pixels(images)))
        hook.remove()
        query, key, _ = block.attn.qkv(inputs[0]).unflatten(2, (3, 3, 16)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.mT / 4).softmax(-1).mean(1)
    by_hand = weights[:, 0, 1:] if token else weights.mean(1)
    assert torch.allclose(maps.flatten(1), by_hand / by_hand.sum(1, keepdim=True), atol=1e-5)


def test_looking_at_the_attention_changes_nothing():
    model = vit()
    view, fused = look(model), model.blocks[-1].attn.fused_attn
    before = view(noise(2))
    attention_maps(view, noise(2))
    assert model.blocks[-1].attn.fused_attn == fused
    assert not model.blocks[-1].attn.attn_drop._forward_pre_hooks
    assert torch.equal(view(noise(2)), before)


def test_attention_on_objects_by_hand():
    masks = torch.zeros(3, 8, 8, dtype=torch.int16)
    masks[0, :4], masks[1, :, :2], masks[2] = 3, 3, -1  # half; a quarter; unlabelled: no object
    blind = on_objects(torch.full((3, 4, 4), 1 / 16), masks, [3])
    assert blind["own"].tolist() == blind["area"].tolist() == [0.5, 0.25]
    assert blind["other"].tolist() == [0.25, 0.5]
    inside = F.adaptive_avg_pool2d((masks == 3).float()[:, None], 4)[:, 0]
    seeing = on_objects(inside / inside.sum((1, 2), keepdim=True).clamp(min=1), masks, [3])
    assert seeing["own"].tolist() == [1, 1]
    assert seeing["other"].tolist() == [0.25, 0.5]
    with pytest.raises(ValueError, match=r"data\.objects"):
        on_objects(torch.full((3, 4, 4), 1 / 16), masks, [5])


def test_a_network_without_attention_says_so():
    model = timm.create_model("test_resnet", num_classes=0).eval()
    assert not attends(model)
    assert attends(vit())
    with pytest.raises(ValueError, match="name a ViT"):
        attention_maps(look(model), noise(2))


def test_more_tokens_cost_more_and_the_model_itself_stays_as_it_was():
    model = vit()
    table = model.pos_embed.clone()
    assert usable_sizes(model, 32, [0.1, 0.5, 0.8, 1.0, 1.5]) == [16, 24, 32, 48]
    flops = []
    for side in (16, 32):
        twin, images = at_size(model, side), torch.randn(2, 3, side, side)
        assert tokens(twin, images) == (side // 8) ** 2
        flops.append(forward_flops(twin, images))
    assert (
        3.5 < flops[1] / flops[0] < 6
    )  # four times the tokens, and a little for attention between them
    assert torch.equal(model.pos_embed, table)
    rates = speed(model, torch.randn(4, 3, 32, 32), repeats=3)
    assert rates.shape == (3,)
    assert (rates > 0).all()


def test_sizes_of_a_network_without_patches():
    model = timm.create_model("test_resnet", num_classes=0).eval()
    assert usable_sizes(model, 64, [0.25, 0.5, 1.0]) == [32, 64]
    rows = percent(size_rows(look(model, 64), None, Shown(noise(4), torch.full((4,), -1)), **OF))
    assert rows["input64_tokens"] > rows["input32_tokens"]
    assert not any(name.endswith("top1") for name in rows)


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    row = mean_row(torch.tensor([0.2, 0.4, 0.6, 0.8]), metric="m", **OF)
    half = 100 * 1.959964 * torch.tensor([0.2, 0.4, 0.6, 0.8]).std().item() / 2
    assert (row.value, row.n) == (pytest.approx(50), 4)
    assert row.low == pytest.approx(50 - half)
    assert row.high == pytest.approx(50 + half)


class Unlabelled(Dataset):
    def __init__(self, count):
        self.labels = torch.full((count,), -1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return noise(1, 32, seed=index)[0], -1, index


def eval_data(train, test, **options):
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 32}
    return EvalData(train=train, test=test, batch_size=16, num_workers=0, **pixels, **options)


def test_all_rows_of_a_vit_on_images_with_labels_and_masks():
    train, test = (
        EmbeddedSource(split=split, count=count, image_size=32)
        for split, count in (("train", 40), ("val", 30))
    )
    model = vit().train()
    rows = evaluate_roles(
        model, eval_data(train, test, limit_test=24), model="trained", data="embedded"
    )
    assert model.training  # measured in eval mode, and put back
    metrics = [row.metric for row in rows]
    assert len(metrics) == len(set(metrics))
    assert {
        "tiles16_knn20_top1",
        "scale25_knn20_top1",
        "input48_knn20_top1",
        "input32_mflops",
        "cosine_other",
        "attention_on_objects",
        "attention_on_other_objects",
        "object_area",
        "relation_top1",
    } <= set(metrics)
    assert all(row.low <= row.value <= row.high for row in rows)
    assert {(row.model, row.data) for row in rows} == {("trained", "embedded")}


def test_without_labels_masks_or_attention_the_other_roles_are_measured():
    model = timm.create_model("test_resnet", num_classes=0)
    rows = evaluate_roles(model, eval_data(Unlabelled(12), Unlabelled(9)), model="m", data="d")
    assert {row.metric.split("_")[0].rstrip("0123456789") for row in rows} == {
        "input",
        "cosine",
        "relation",
    }
    assert not any("knn" in row.metric for row in rows)


def test_pieces_are_cut_from_the_larger_images_where_there_are_some():
    small, large = (EmbeddedSource(split="val", count=20, image_size=size) for size in (32, 64))
    plain, sharp = (
        percent(evaluate_roles(vit(), eval_data(small, small, **options), model="m", data="d"))
        for options in ({}, {"large": (large, large)})
    )
    assert plain["cosine_crop"] != sharp["cosine_crop"]


def test_the_numbers_of_the_protocol_are_those_of_the_issue():
    assert [each * each for each in NUMBERS["tiles"]["each"]] == [1, 4, 9, 16]
    assert CHANGES == ("shift", "crop", "scale", "flip", "colour")
