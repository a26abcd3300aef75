"""Fine-tuning and the same recipe from scratch."""

import pytest
import timm
import torch
from torch.utils.data import Dataset

from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.probes import finetune as module
from ssl_patches.evaluation.probes.finetune import (
    RECIPE,
    Finetune,
    classifier,
    finetune,
    optimizer_of,
    steps_of,
)
from ssl_patches.evaluation.probes.inputs import ProbeInputs

PIXELS = {"image_size": 16, "mean": [0.5] * 3, "std": [0.25] * 3}


def rows_of(encoder, eval_data, *, model, kind="class"):
    inputs = ProbeInputs.of_images(encoder, eval_data, model=model, data="toy", kind=kind)
    return Finetune().rows(inputs)


def figure(encoder, train, test, model="trained", **options):
    """The one row of a model."""
    eval_data = EvalData(train=train, test=test, batch_size=64, num_workers=0, **(PIXELS | options))
    (row,) = rows_of(encoder, eval_data, model=model)
    return row


class Bright(Dataset):
    """Class 0 is dark, class 1 bright; every image has its own grain."""

    def __init__(self, count, seed, size=16):
        draw = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 2
        level = 60 + 130 * self.labels[:, None, None, None]
        self.images = (level + 40 * torch.rand(count, 3, size, size, generator=draw)).to(
            torch.uint8
        )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], int(self.labels[index]), index


def vit(seed=0, depth=2):
    torch.manual_seed(seed)
    options = {
        "depth": depth,
        "embed_dim": 24,
        "num_heads": 2,
        "global_pool": "avg",
        "fc_norm": False,
        "class_token": False,
    }
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=8, num_classes=0, **options
    ).eval()


def test_a_separable_toy_reaches_100_percent_from_either_start(monkeypatch):
    monkeypatch.setitem(RECIPE, "epochs", 12)
    train, test = Bright(64, 0), Bright(40, 1)
    large = (Bright(64, 0, size=20), Bright(40, 1, size=20))
    rows = [
        figure(vit(0), train, test, large=large),
        figure(vit(1), train, test, "random_init", large=large),
    ]
    assert [(row.model, row.metric, row.n, row.value) for row in rows] == [
        ("trained", "finetune_top1", 40, 100),
        ("random_init", "scratch_top1", 40, 100),
    ]


def test_labels_that_have_nothing_to_do_with_the_images_score_chance(monkeypatch):
    monkeypatch.setitem(RECIPE, "epochs", 6)
    train, test = Bright(64, 0), Bright(200, 1)
    for seed, source in enumerate((train, test)):
        source.labels = source.labels[
            torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
        ]
        source.images = torch.randint(
            256,
            source.images.shape,
            generator=torch.Generator().manual_seed(seed),
            dtype=torch.uint8,
        )
    assert 39 <= figure(vit(), train, test).value <= 61  # three deviations of 200 draws


def test_scratch_gets_exactly_the_same_recipe(monkeypatch):
    seen = []
    step = module._step

    def spy(net, images, labels, optimizer, **options):
        groups = [
            (group["lr"], group["weight_decay"], [p.shape for p in group["params"]])
            for group in optimizer.param_groups
        ]
        seen.append(
            (images.clone(), labels.clone(), groups, optimizer.param_groups[0]["betas"], options)
        )
        return step(net, images, labels, optimizer, **options)

    monkeypatch.setattr(module, "_step", spy)
    frozen_table = vit(1)
    frozen_table.pos_embed.requires_grad_(
        False
    )  # as in an encoder that comes from a run and not from a folder
    monkeypatch.setitem(RECIPE, "epochs", 3)
    figure(vit(0), Bright(64, 0), Bright(8, 1))
    figure(frozen_table, Bright(64, 0), Bright(8, 1), "random_init")
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert len(first) == len(second) == steps_of(64, epochs=3, batch_size=64)
    for (images, labels, *rest), (their_images, their_labels, *theirs) in zip(
        first, second, strict=True
    ):
        assert torch.equal(images, their_images)
        assert torch.equal(labels, their_labels)
        assert rest == theirs
    assert not torch.equal(first[0][0], first[1][0])  # crops are drawn anew at each step


def test_learning_rates_shrink_towards_the_input_and_vectors_do_not_decay():
    net = classifier(vit(), count=2)
    groups = optimizer_of(
        net, {"weight_decay": 0.1, "betas": (0.9, 0.95)}, lr=1.0, layer_decay=0.5
    ).param_groups
    of = {id(p): group for group in groups for p in group["params"]}
    scale = {name: of[id(p)]["lr_scale"] for name, p in net.named_parameters()}
    assert scale["head.weight"] == 1
    assert scale["blocks.1.mlp.fc1.weight"] == 0.5
    assert scale["blocks.0.mlp.fc1.weight"] == 0.5 * scale["blocks.1.mlp.fc1.weight"]
    assert (
        scale["patch_embed.proj.weight"]
        == scale["pos_embed"]
        == 0.5 * scale["blocks.0.mlp.fc1.weight"]
    )
    decay = {name: of[id(p)]["weight_decay"] for name, p in net.named_parameters()}
    assert decay["pos_embed"] == decay["blocks.0.norm1.weight"] == decay["head.bias"] == 0
    assert decay["head.weight"] == decay["blocks.0.attn.qkv.weight"] == 0.1
    assert len(of) == len(list(net.parameters()))  # every parameter is trained


def test_the_schedule_warms_up_falls_to_zero_and_the_last_step_is_what_is_tested(monkeypatch):
    rates = []
    step = module._step

    def spy(net, images, labels, optimizer, **options):
        rates.append(optimizer.param_groups[-1]["lr"])
        return step(net, images, labels, optimizer, **options)

    monkeypatch.setattr(module, "_step", spy)
    monkeypatch.setitem(RECIPE, "batch_size", 16)
    finetune(vit(), Bright(64, 0), count=2, epochs=5, **PIXELS)
    assert len(rates) == 20
    peak = RECIPE["optimizer"]["base_lr"] * 16 / 256
    assert rates.index(max(rates)) == 1  # the end of a tenth of 20 steps
    assert max(rates) == pytest.approx(peak)
    assert rates[0] == pytest.approx(peak / 2)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_it_is_the_same_every_time_and_touches_neither_the_model_nor_the_random_state():
    model = vit()
    before, state = (
        {name: value.clone() for name, value in model.state_dict().items()},
        torch.get_rng_state(),
    )
    nets = [finetune(model, Bright(16, 0), count=2, epochs=1, **PIXELS) for _ in range(2)]
    assert all(
        torch.equal(a, b)
        for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


def test_bf16_and_networks_with_batch_norm_train_too(monkeypatch):
    monkeypatch.setitem(RECIPE, "batch_size", 16)
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=0)
    row = figure(
        model, Bright(64, 0, size=32), Bright(16, 1, size=32), precision="bf16", image_size=32
    )
    assert row.value > 90


def test_every_test_image_with_a_class_is_tested_once_and_one_that_is_replaced_is_not(monkeypatch):
    monkeypatch.setitem(RECIPE, "epochs", 1)
    train, test = Bright(32, 0), Bright(40, 1)
    test.labels[:10] = -1
    assert figure(vit(), train, test).n == 30
    assert figure(vit(), train, test, limit_test=7).n == 7
    shown = test.__class__.__getitem__
    monkeypatch.setattr(
        Bright,
        "__getitem__",
        lambda self, index: shown(self, 21 if self is test and index == 20 else index),
    )
    assert figure(vit(), train, test).n == 29


def test_one_class_only_and_values_out_of_range_are_refused():
    source = Bright(8, 0)
    for options, key in (({"epochs": 0}, "epochs=0"), ({"layer_decay": 0.0}, r"layer_decay=0\.0")):
        with pytest.raises(ValueError, match=key):
            finetune(vit(), source, count=2, **options, **PIXELS)
    source.labels[:] = 1
    with pytest.raises(ValueError, match="one class only"):
        figure(vit(), source, source)


class Several(Bright):
    """What ``kind`` says of dark and bright: is it bright, is it dark; or how bright it is and a
    second number."""

    def __init__(self, count, seed, kind):
        super().__init__(count, seed)
        bright = self.labels[:, None]
        self.labels = (
            torch.cat([bright, 1 - bright], 1)
            if kind == "multilabel"
            else torch.cat([300 + 40.0 * bright, 1.0 - bright], 1)
        )

    def __getitem__(self, index):
        return self.images[index], self.labels[index], index


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [("multilabel", ["finetune_map"]), ("value", ["finetune_r2", "finetune_mae"])],
)
def test_yes_no_labels_and_values_are_learned_and_answered_in_their_own_unit(
    monkeypatch, kind, metrics
):
    monkeypatch.setitem(RECIPE, "epochs", 12 if kind == "multilabel" else 200)  # of one step each
    train, test = Several(64, 0, kind), Several(41, 1, kind)
    none = -1 if kind == "multilabel" else float("nan")
    train.labels[3], test.labels[5] = none, none
    eval_data = EvalData(train=train, test=test, batch_size=64, num_workers=0, **PIXELS)
    rows = rows_of(vit(), eval_data, model="trained", kind=kind)
    assert [(row.metric, row.n) for row in rows] == [(metric, 40) for metric in metrics]
    assert rows[0].value > 95
    if kind == "value":
        assert rows[1].value < 5  # of 40
    shuffled = Several(64, 0, kind)
    shuffled.labels = shuffled.labels[
        torch.randperm(64, generator=torch.Generator().manual_seed(0))
    ]
    eval_data = EvalData(train=shuffled, test=test, batch_size=64, num_workers=0, **PIXELS)
    assert rows_of(vit(), eval_data, model="trained", kind=kind)[0].value < 80
