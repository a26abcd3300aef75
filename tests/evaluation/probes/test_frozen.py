"""Every probe on toys whose answer is known: oracle features, shuffled labels, all kinds of labels,
and the edges."""

import pytest
import timm
import torch

from ssl_patches.data import EmbeddedSource
from ssl_patches.evaluation import PROBES, EvalData, ProbeInputs, evaluate_model
from ssl_patches.evaluation.probes import frozen as program
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
    return {
        "pooled": features,
        "mean.1": 0 * features,
        "mean.2": features,
        "cls.1": features,
        "cls.2": features,
        "tokens": tokens.half(),
    }


def case(kind="class", *, train=200, test=80, shuffle=False, **of):
    train_y, test_y = labels_of(kind, train, 0), labels_of(kind, test, 1)
    seen = (
        train_y[torch.randperm(train, generator=torch.Generator().manual_seed(3))]
        if shuffle
        else train_y
    )
    return ProbeInputs(
        model="trained",
        data="toy",
        kind=kind,
        count=CLASSES,
        train=oracle(seen),
        train_y=train_y,
        test=oracle(test_y),
        test_y=test_y,
        **of,
    )


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
    eval_data = EvalData(
        train=Grey(kind=kind, split="train", count=96),
        test=Grey(kind=kind, split="val", count=30),
        batch_size=32,
        num_workers=0,
        mean=(0.45,),
        std=(0.22,),
        image_size=32,
    )
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
