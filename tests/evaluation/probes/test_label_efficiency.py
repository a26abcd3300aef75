"""From few labels to all: the package's own probes, the same draws for everyone, computed once."""

import pytest
import torch
from torch import nn

from ssl_patches.data.source import ImageSource
from ssl_patches.evaluation.efficiency import label_learner
from ssl_patches.evaluation.evaluate import evaluate_model
from ssl_patches.evaluation.features.eval_data import EvalData
from ssl_patches.evaluation.probes import label_efficiency as module
from ssl_patches.evaluation.probes.frozen import Knn, Linear
from ssl_patches.evaluation.probes.inputs import ProbeInputs
from ssl_patches.evaluation.probes.label_efficiency import LabelEfficiency


class Bright(ImageSource):
    """Class 0 is dark, class 1 bright, with much grain; labels of any kind, and masks."""

    reads_apart = False

    def __init__(self, count, seed, kind="class"):
        draw = torch.Generator().manual_seed(seed)
        bright = torch.arange(count) % 2
        level = 90 + 50 * bright[:, None, None, None]
        self.images = (level + 100 * torch.rand(count, 3, 8, 8, generator=draw)).to(torch.uint8)
        self.labels = {
            "class": bright,
            "multilabel": torch.stack([bright, 1 - bright], 1),
            "value": bright + 0.1 * torch.rand(count, generator=draw),
            "masks": torch.full((count,), -1),
        }[kind]
        self.name = f"{count} {seed} {kind}"
        if kind == "masks":
            self.mask_classes, self.objects = ["dark", "bright"], []
            self.mask = lambda at: (torch.arange(8) >= 4 - at % 2).long()[None].expand(8, 8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index], index

    def fingerprint(self):
        return self.name


class Means(nn.Module):
    """A network whose features are means of quarters of the image."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.map = nn.Conv2d(3, 4, 2, 2)

    def forward_intermediates(self, images, **_):
        return [self.map(images)]

    def forward(self, images):
        return self.map(images).mean((2, 3))


def data(kind="class", train=40, test=30, **options):
    sources = {"train": Bright(train, 0, kind), "test": Bright(test, 1, kind)}
    pixels = {"image_size": 8, "mean": [0.5] * 3, "std": [0.25] * 3}
    return EvalData(**sources, batch_size=16, num_workers=0, **(pixels | options))


def evaluated(probe, kind="class", seed=0, **options):
    record = evaluate_model(
        Means(seed), data(kind, **options), random_init=None, probes={"label_efficiency": probe}
    )
    return {(row.model, row.metric): row for row in record.rows}


@pytest.mark.parametrize(
    ("kind", "metric", "least"),
    [("class", "top1", 1), ("multilabel", "map", 5), ("value", "r2", 5), ("masks", "miou", 1)],
)
def test_every_kind_of_labels_has_its_curve_beside_that_of_pixels(kind, metric, least):
    rows = evaluated(LabelEfficiency(draws=2), kind)
    for model in ("trained", "raw_pixels"):
        for column in ("linear", "knn"):
            some = rows[model, f"labels{least}_{column}_{metric}"]
            every = rows[model, f"labelsall_{column}_{metric}"]
            assert some.low <= some.value <= some.high
            assert some.n == every.n == 30


def test_all_labels_give_what_the_probes_of_the_package_give():
    probes = {"knn": Knn(), "linear": Linear(), "label_efficiency": LabelEfficiency(draws=1)}
    record = evaluate_model(Means(), data(), random_init=None, probes=probes)
    rows = {(row.model, row.metric): row for row in record.rows}
    for theirs, ours in (("linear_top1", "linear"), ("knn20_top1", "knn")):
        one, other = rows["trained", theirs], rows["trained", f"labelsall_{ours}_top1"]
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_what_is_done_is_read_again_to_the_bit_and_other_weights_are_not(tmp_path, monkeypatch):
    kept = str(tmp_path / "kept")
    before = evaluated(LabelEfficiency(draws=2, kept=kept))
    asked = []
    own = module.learner_of

    def watched(inputs, **asked_for):
        learner = own(inputs, **asked_for)
        frozen = learner.frozen
        learner.frozen = lambda some: asked.append(inputs.model) or frozen(some)
        return learner

    monkeypatch.setattr(module, "learner_of", watched)
    again = LabelEfficiency(draws=2, kept=kept)
    assert evaluated(again) == before
    assert asked == []
    assert again.costs["trained"][0] > 0  # what it cost then is told
    next(iter((tmp_path / "kept").glob("*.npz"))).unlink()  # a kill before the last cell
    assert evaluated(LabelEfficiency(draws=2, kept=kept)) == before
    assert len(asked) == 1
    evaluated(LabelEfficiency(draws=2, kept=kept), seed=1)
    assert asked[1:] == ["trained"] * 7  # 1, 5, 10 labels twice and all; pixels are as they were


def test_balanced_accuracy_is_that_of_the_same_answers(tmp_path):
    plain = evaluated(LabelEfficiency(draws=2, kept=str(tmp_path)))
    balanced = evaluated(LabelEfficiency(draws=2, metric="balanced", kept=str(tmp_path)))
    assert len(balanced) == len(plain)
    for (model, metric), row in plain.items():  # as many test images of either class
        other = balanced[model, metric.replace("top1", "balanced")]
        assert other.value == pytest.approx(row.value)
        assert 0 <= other.low <= other.value <= other.high <= 100


def test_without_a_key_of_the_images_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Bright, "fingerprint", lambda self: "")
    evaluated(LabelEfficiency(draws=1, kept=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_fine_tuned_columns_try_the_same_settings_on_training_images_only(monkeypatch):
    tried = []

    class Tuned:
        def __init__(self, source, setting):
            self.source, self.setting = source, setting

    def finetune(model, source, *, base_lr, layer_decay, epochs, **_):
        tried.append((type(model), len(source), base_lr, layer_decay, epochs))
        return Tuned(source, base_lr)

    asked = []

    def predictions_of(net, images, eval_data, *, kind):
        asked.append(images.source is eval_data.test)
        right = images.labels.long()
        return (right if net.setting == 5e-4 else 1 - right), right

    monkeypatch.setattr(label_learner, "finetune", finetune)
    monkeypatch.setattr(label_learner, "predictions_of", predictions_of)
    probe = LabelEfficiency(
        labels=[1, 10], draws=1, columns=["linear", "finetune", "scratch"], trials=2, tuned_draws=2
    )
    record = evaluate_model(
        Means(), data(), random_init=Means(1), probes={"label_efficiency": probe}
    )
    rows = {(row.model, row.metric): row.value for row in record.rows}
    assert rows["trained", "labels10_finetune_top1"] == 100  # the second setting was chosen
    assert rows["trained", "labels1_finetune_top1"] == 0  # nothing to hold out: the first
    assert rows["random_init", "labels10_scratch_top1"] == 100
    assert ("random_init", "labels10_finetune_top1") not in rows
    assert ("raw_pixels", "labels10_finetune_top1") not in rows
    # per model: 1 label twice; 10 labels: two trials on 16, two draws of 20; all: 32, 32, 40
    assert [count for _, count, *_ in tried[:9]] == [2, 2, 16, 16, 20, 20, 32, 32, 40]
    assert tried[:9] == tried[9:]
    assert asked[:9] == [True, True, False, False, True, True, False, False, True]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"labels": [0]}, "label_efficiency.labels"),
        ({"labels": [5, 5]}, "different numbers"),
        ({"draws": 0}, "label_efficiency.draws=0"),
        ({"trials": 7}, "must be 1 to 6"),
        ({"columns": ["lin"]}, r"columns=\[lin\]"),
        ({"columns": ["finetune"]}, "must hold linear or knn"),
        ({"of": "tags"}, "auto, labels or masks"),
        ({"metric": "f1"}, "metric=f1: must be balanced, or null"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(wrong, said):
    with pytest.raises(ValueError, match=said):
        LabelEfficiency(**wrong)


def test_balanced_accuracy_of_values_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(Bright, "__getitem__", lambda *_: pytest.fail("an image was read"))
    with pytest.raises(ValueError, match=r"metric=balanced: .*leave .*metric out"):
        evaluated(LabelEfficiency(metric="balanced"), "value")


@pytest.mark.parametrize(
    ("labels", "images", "said"),
    [
        ([50], data(), "numbers up to 20"),
        ([50], data("value"), "numbers from 2 to 40"),
        ([50], data("masks"), "numbers from 1 to 40"),
        (None, data(limit_train=1), "one class only"),
    ],
)
def test_too_few_labels_are_refused_before_anything_is_read(labels, images, said, monkeypatch):
    monkeypatch.setattr(Bright, "__getitem__", lambda *_: pytest.fail("an image was read"))
    probe = LabelEfficiency(labels=labels)
    with pytest.raises(ValueError, match=said):
        evaluate_model(Means(), images, random_init=None, probes={"label_efficiency": probe})


def test_the_report_names_costs_and_ends_with_the_sentence():
    probe = LabelEfficiency(draws=2)
    evaluated(probe)
    lines = probe.report(ours="trained")
    assert lines[0].startswith("cost of this table: trained ")
    assert lines[-1].startswith("Which encoder, by labels per class: frozen: ")
    rows = probe.rows(ProbeInputs.of_images(None, data(), model="other", data="toy"))
    assert {row.model for row in rows} == {"other"}
    assert len({(curve.model, curve.column) for curve in probe.curves}) == len(probe.curves) == 6
