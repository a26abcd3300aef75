"""Every probe on toys whose answer is known: oracle features, shuffled labels, all kinds of labels,
and the edges."""

import pytest
import timm
import torch
from torch import nn

from ssl_patches.data import EmbeddedSource
from ssl_patches.evaluation import PROBES, EvalData, ProbeInputs, evaluate_model
from ssl_patches.evaluation.features.parts import parts_reader
from ssl_patches.evaluation.probes import attentive
from ssl_patches.evaluation.probes import frozen as program
from ssl_patches.evaluation.probes.lowshot import mean_row, samples
from ssl_patches.evaluation.protocol import PROTOCOL

CLASSES = 4
QUICK = {"steps": 200, "batch": 64, "learning_rates": [1e-2, 5e-2], "weight_decays": [1e-3]}

FROZEN = [name for name, probe in PROBES.items() if probe.reads]
"""Probes of features that were read once; those that read images themselves have tests of their
own."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The same probes with fewer steps and draws."""
    small = {
        "attentive": PROTOCOL["attentive"] | QUICK,
        "lowshot": {"per_class": [1, 5], "shares": [0.1], "draws": 3},
    }
    monkeypatch.setattr(program, "PROTOCOL", PROTOCOL | small)


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels_of(kind, count, seed):
    if kind == "class":
        return torch.arange(count) % CLASSES
    drawn = torch.rand(count, CLASSES, generator=torch.Generator().manual_seed(seed)) < 0.4
    return drawn if kind == "multilabel" else 7.0 * drawn + 2


def oracle(labels):
    """Features that are the labels, in all the parts that a model can give; of the tokens, one in
    four tells."""
    features = (
        torch.eye(CLASSES)[labels]
        if labels.dim() == 1
        else 2.0 * (labels > 2 if labels.dtype != torch.bool else labels) - 1
    )
    tokens = noise(len(labels), 4, CLASSES, seed=5) * 0.01
    tokens[torch.arange(len(labels)), torch.arange(len(labels)) % 4] += features
    return {"pooled": features, "mean.1": 0 * features, "mean.2": features, "cls.1": features, "cls.2": features,
            "tokens": tokens.half()}  # fmt: skip


def case(kind="class", *, train=200, test=80, shuffle=False, **of):
    train_y, test_y = labels_of(kind, train, 0), labels_of(kind, test, 1)
    seen = (
        train_y[torch.randperm(train, generator=torch.Generator().manual_seed(3))]
        if shuffle
        else train_y
    )
    return ProbeInputs(model="trained", data="toy", kind=kind, count=CLASSES, train=oracle(seen), train_y=train_y,
                test=oracle(test_y), test_y=test_y, **of)  # fmt: skip


FIGURES = {"class": "top1", "multilabel": "map", "value": "r2"}


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("probe", FROZEN)
def test_features_that_are_the_labels_give_100_percent(probe, kind):
    toy = case(kind)
    rows = {row.metric: row for row in PROBES[probe].rows(toy) if not row.metric.endswith("_mae")}
    assert all(name.endswith(FIGURES[kind]) for name in rows)
    blind = {f"linear_mean_layer1_{FIGURES[kind]}"}
    for name, row in rows.items():
        assert row.low <= row.value <= row.high
        if name not in blind and not name.startswith("lowshot"):
            assert row.value > (99.9 if kind == "class" else 98), name
        if name.startswith(
            "lowshot"
        ):  # few images do not always say which direction is which label
            assert row.value > (99.9 if kind == "class" else 80), name
    assert all(rows[name].value < 60 for name in blind & rows.keys())  # and it is no constant 100


@pytest.mark.parametrize("probe", FROZEN)
def test_shuffled_labels_give_chance(probe):
    # Features are one of four points, so all images of a point are answered alike: a draw strays by
    # multiples of 25.
    rows = [
        row
        for row in PROBES[probe].rows(case(train=2000, shuffle=True))
        if "knn1_" not in row.metric
    ]
    assert sum(row.value for row in rows) / len(rows) < 65
    assert min(row.value for row in rows) <= 50


def test_the_best_layer_is_chosen_on_train():
    toy = case()
    rows = {row.metric: row.value for row in program.Layers().rows(toy)}
    assert (
        toy.chosen["linear_best_layer"]["layer"] == "linear_mean_layer2"
    )  # the first of those that see the class
    assert rows["linear_best_layer_top1"] == 100
    assert {"linear_mean_last2_top1", "linear_cls_last2_top1"} <= rows.keys()


def test_every_answer_is_kept_for_paired_tests():
    toy = case()
    for probe in ("knn", "linear", "layers", "attentive"):
        PROBES[probe].rows(toy)
    assert {"knn20", "linear", "linear_cls_layer1", "attentive"} <= toy.predictions.keys()
    assert all(
        torch.equal(toy.predictions[name], toy.test_y) for name in ("knn20", "linear", "attentive")
    )


def test_attention_finds_the_token_that_tells_where_the_mean_does_not():
    labels, wanted = torch.arange(600) % 4, torch.arange(200) % 4
    axes = torch.linalg.qr(noise(16, 16, seed=0))[0]

    def images(of, seed):
        tokens = noise(len(of), 30, 16, seed=seed)
        at = torch.randint(30, (len(of),), generator=torch.Generator().manual_seed(seed))
        tokens[torch.arange(len(of)), at] += 6 * (axes[of] + axes[8])
        return tokens.half()

    train, test = images(labels, 1), images(wanted, 2)
    settings = PROTOCOL["attentive"] | QUICK | {"steps": 200}
    answers, chosen = attentive.attentive_probe(
        train, labels, test, kind="class", count=4, **settings
    )
    toy = ProbeInputs(
        model="m", data="d", kind="class", count=4, train={}, train_y=labels, test={}, test_y=wanted
    )
    mean, _ = toy.linear(train.float().mean(1), test.float().mean(1))
    right, pooled = ((found == wanted).double().mean() for found in (answers, mean))
    assert right > 0.9 > 0.8 > pooled
    assert chosen["held_out"] == 60
    assert len(chosen["scores"]) == 2


def test_the_attentive_probe_is_capis_map_in_another_order():
    model = attentive.Attentive(
        probes=2, dim=128, count=3, scale={"mean": torch.zeros(128), "std": torch.ones(128)}, seed=0
    )
    for seed, parameter in enumerate(model.parameters()):
        parameter.data = 0.3 * noise(*parameter.shape, seed=seed)
    tokens, probe = noise(5, 7, 128, seed=1), model.probes[1]
    keys, values = tokens @ probe.key.T, tokens @ probe.value.T + probe.value_bias
    heads = [part.view(5, 7, 2, 64).transpose(1, 2) for part in (keys, values)]
    seen = nn.functional.scaled_dot_product_attention(
        probe.query.view(1, 2, 1, 64).expand(5, -1, -1, -1), *heads
    )
    expected = seen.transpose(1, 2).reshape(5, 128) @ probe.label.T + probe.label_bias
    assert torch.allclose(model(tokens)[1], expected, atol=1e-3, rtol=1e-4)
    assert not torch.allclose(model(tokens)[0], expected, atol=1e-1)


def test_low_shot_draws_are_balanced_differ_and_leave_out_what_would_be_all_of_train():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 3)
    drawn = samples(labels, kind="class", per_class=[1, 5, 60], shares=[0.1], draws=5)
    assert list(drawn) == ["lowshot1", "lowshot5", "lowshot10pct"]  # 60 of each is everything
    assert [labels[some].bincount().tolist() for some in drawn["lowshot5"]] == [[5, 5, 3]] * 5
    assert [labels[some].bincount().tolist() for some in drawn["lowshot10pct"]] == [[6, 3, 1]] * 5
    assert len({tuple(some.tolist()) for some in drawn["lowshot5"]}) == 5
    values = samples(torch.rand(50, 1), kind="value", per_class=[1, 5], shares=[0.1], draws=5)
    assert [len(some) for some in values["lowshot10pct"]] == [5] * 5
    assert len(values) == 1


def test_the_interval_over_draws_is_students():
    row = mean_row([50, 52, 54, 56, 58], model="m", data="d", metric="lowshot1_top1", n=9)
    half = 2.776445 * 3.162278 / 5**0.5  # t of 4 degrees of freedom, deviation of the five
    assert (row.value, row.low, row.high) == pytest.approx((54, 54 - half, 54 + half))
    assert mean_row([99, 100, 98], model="m", data="d", metric="lowshot1_top1", n=9).high == 100


def test_one_image_per_class_is_enough_for_every_probe():
    toy = case(train=CLASSES, test=40)
    for probe in FROZEN:
        for row in PROBES[probe].rows(toy):
            if row.metric.startswith(("knn1_", "linear_top1", "attentive")):
                assert row.value == 100, row.metric
    assert toy.chosen["attentive"]["held_out"] == 0


class Grey:
    """Embedded images without colour, whose labels are of a kind; every third has none."""

    def __init__(self, *, kind, split, count):
        self.source = EmbeddedSource(channels=1, image_size=32, split=split, count=count)
        clean = self.source.labels
        tags = torch.stack([clean > 4, clean % 2 == 0], 1).long()
        self.labels = {"class": clean, "multilabel": tags, "value": clean / 3}[kind].clone()
        self.labels[::3] = torch.nan if kind == "value" else -1

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        image, _, index = self.source[index]
        return image, self.labels[index], index


@pytest.mark.parametrize("kind", FIGURES)
def test_a_timm_model_goes_through_every_probe_on_grey_images_with_an_unlabelled_rest(kind):
    sizes = {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 48,
        "depth": 2,
        "num_heads": 3,
        "in_chans": 1,
        "num_classes": 0,
    }
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **sizes)
    eval_data = EvalData(train=Grey(kind=kind, split="train", count=96), test=Grey(kind=kind, split="val", count=30), batch_size=32,
                  num_workers=0, mean=(0.45,), std=(0.22,), image_size=32)  # fmt: skip
    record = evaluate_model(model, eval_data, random_init=None, probes=FROZEN)
    assert record.kind == kind
    assert {row.n for row in record.rows} == {20}
    assert len(record.index) == len(record.labels) == 20
    assert not (record.index % 3 == 0).any()
    figure = FIGURES[kind]
    trained = {row.metric for row in record.rows if row.model == "trained"}
    assert {
        f"knn20_{figure}",
        f"linear_{figure}",
        f"attentive_{figure}",
        f"linear_cls_layer1_{figure}",
    } <= trained
    assert {f"linear_mean_last2_{figure}", f"lowshot10pct_{figure}"} <= trained
    raw = {row.metric for row in record.rows if row.model == "raw_pixels"}
    assert raw == {
        name
        for name in trained
        if name.startswith(("knn", f"linear_{figure}", "linear_mae", "lowshot"))
    }


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "convnext_atto"])
def test_the_pooled_part_is_what_the_exported_model_returns_whatever_else_is_asked_for(name):
    sizes = {"img_size": 32, "patch_size": 8, "depth": 3} if name.startswith("vit") else {}
    model = timm.create_model(name, pretrained=False, num_classes=0, **sizes).eval()
    images = noise(3, 3, 32, 32, seed=0)
    with torch.inference_mode():
        parts = parts_reader(model, {"pooled", "layers", "tokens"}, device="cpu")(images)
        assert torch.allclose(parts["pooled"], model(images), atol=1e-6)
    last = max(int(part[5:]) for part in parts if part.startswith("mean."))
    assert torch.allclose(parts["tokens"].mean(1), parts[f"mean.{last}"], atol=1e-5)
    assert ("cls.1" in parts) == name.startswith("vit")


def test_a_model_without_layers_is_refused_where_layers_are_asked_for():
    with pytest.raises(ValueError, match=r"Linear tells no layers.*probes=\[knn,linear\]"):
        parts_reader(nn.Linear(2, 2), {"layers"}, device="cpu")
