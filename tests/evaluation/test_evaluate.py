"""The whole evaluation: trained encoder and floors, on toys whose answer is known."""

import json

import pytest
import torch
from torch import nn

from ssl_patches.evaluation import Probe, evaluate_encoder, probes_named, score
from ssl_patches.evaluation.features import passes

SIDE = 8
METRICS = ("knn1_top1", "knn5_top1", "knn20_top1", "knn200_top1", "linear_top1")
SEEN = {
    "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.25, 0.25),
    "image_size": SIDE,
    "batch_size": 16,
    "num_workers": 0,
}


class Dots:
    """Noise in which one pixel value, at a fixed place, is the class."""

    reads_apart = False  # so that it counts here what is asked

    def __init__(self, *, count, seed, classes=4, unlabelled=0, side=SIDE):
        draw = torch.Generator().manual_seed(seed)
        self.pixels = torch.randint(256, (count, 3, side, side), generator=draw, dtype=torch.uint8)
        self.labels = torch.arange(count) % classes
        self.pixels[:, 0, 0, 0] = (40 * self.labels).to(torch.uint8)
        self.labels[count - unlabelled :] = -1
        self.name, self.asked = f"{count}/{seed}/{classes}/{unlabelled}", 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.asked += 1
        return self.pixels[index], int(self.labels[index]), index

    def fingerprint(self):
        return self.name


class Oracle(nn.Module):
    """One-hot of the class, and one-hot of another class in train mode."""

    def __init__(self):
        super().__init__()
        self.calls, self.modes = 0, set()

    def forward(self, images):
        self.calls += len(images)
        self.modes.add(self.training)
        pixel = images[:, 0, 0, 0] * 0.25 + 0.5
        label = (pixel * 255 / 40).round().long() % 4
        return nn.functional.one_hot((label + 1) % 4 if self.training else label, 4).float()


class Blind(nn.Module):
    """Random features that do not see the pixel."""

    def __init__(self, seed=0):
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(3 * SIDE * SIDE, 6, generator=torch.Generator().manual_seed(seed))
        )
        self.calls = 0

    def forward(self, images):
        self.calls += len(images)
        seen = images.clone()
        seen[:, 0, 0, 0] = 0
        return seen.flatten(1) @ self.weight


def evaluate(encoder=None, random_init=None, *, train=None, test=None, **options):
    return evaluate_encoder(
        encoder=encoder or Oracle(),
        random_init=random_init or Blind(),
        train_source=train or Dots(count=200, seed=0),
        test_source=test or Dots(count=100, seed=1),
        **SEEN | options,
    )


def values(rows, model="trained"):
    return {row.metric: row.value for row in rows if row.model == model}


def test_an_encoder_that_sees_the_class_gets_100_percent_and_the_blind_floor_is_at_chance():
    rows = evaluate(data_name="dots")
    assert [(row.model, row.metric) for row in rows] == [
        (model, metric) for model in ("trained", "random_init", "raw_pixels") for metric in METRICS
    ]
    assert values(rows) == dict.fromkeys(METRICS, 100)
    assert all(abs(value - 25) < 15 for value in values(rows, "random_init").values())
    assert {(row.data, row.n) for row in rows} == {("dots", 100)}


def test_the_program_uses_eval_mode_for_both_splits_and_leaves_the_model_as_it_was():
    encoder = Oracle().train()
    assert values(evaluate(encoder)) == dict.fromkeys(METRICS, 100)
    assert encoder.modes == {False}
    assert encoder.training


class SwitchesPooling(nn.Module):
    """Mean pooling for the first images that it sees, and the first token from then on."""

    def __init__(self, images):
        super().__init__()
        self.left = images

    def forward(self, images):
        self.left -= len(images)
        return images.mean((2, 3)) if self.left >= 0 else images[:, :, 0, 0]


def test_a_pooling_that_differs_between_train_and_test_is_refused():
    with pytest.raises(ValueError, match=r"first train images .* not read alike"):
        evaluate(SwitchesPooling(images=200), floors=False)
    evaluate(SwitchesPooling(images=10**6), floors=False)  # the same network, pooling always alike


def test_another_treatment_of_the_test_images_by_the_program_itself_is_refused(monkeypatch):
    whole, done = passes.collect, []

    def mismatched(loader, readers, **options):
        done.append(len(readers))
        if len(done) == 2:  # the pass over test
            readers = {"trained": lambda images: {"pooled": Oracle().train()(images)}}
        return whole(loader, readers, **options)

    monkeypatch.setattr(passes, "collect", mismatched)
    with pytest.raises(ValueError, match="first test images"):
        evaluate(floors=False)
    monkeypatch.setattr(passes.Split, "check_alike", lambda *_, **__: None)
    done.clear()
    assert (
        max(values(evaluate(floors=False)).values()) == 0
    )  # and this is what nobody would have been told


def test_without_floors_only_the_encoder_is_run():
    floor = Blind()
    assert {row.model for row in evaluate(random_init=floor, floors=False)} == {"trained"}
    assert floor.calls == 0


def test_images_without_a_label_are_left_out_of_bank_and_test():
    train, test = Dots(count=200, seed=0, unlabelled=50), Dots(count=100, seed=1, unlabelled=30)
    encoder = Oracle()
    rows = evaluate(encoder, train=train, test=test, floors=False)
    assert values(rows) == dict.fromkeys([*METRICS[:3], "knn150_top1", "linear_top1"], 100)
    assert {row.n for row in rows} == {70}
    assert (
        encoder.calls == 150 + 70 + 2 * 16
    )  # and are not encoded; some of each split are read twice


def test_a_class_that_the_test_lacks_or_train_lacks_is_counted_as_what_it_is():
    assert values(evaluate(test=Dots(count=90, seed=1, classes=3))) == dict.fromkeys(METRICS, 100)
    rows = evaluate(
        train=Dots(count=200, seed=0, classes=3)
    )  # a quarter of the test cannot be right
    assert values(rows) == dict.fromkeys(METRICS, 75)


def test_a_bank_smaller_than_k_is_said_in_the_metric():
    rows = evaluate(train=Dots(count=12, seed=0), floors=False)
    assert [row.metric for row in rows] == ["knn1_top1", "knn5_top1", "knn12_top1", "linear_top1"]


def test_limits_bound_what_is_loaded():
    train, test, told = Dots(count=200, seed=0), Dots(count=100, seed=1), []
    rows = evaluate(
        train=train, test=test, limit_train=80, limit_test=40, floors=False, progress=told.append
    )
    assert (train.asked, test.asked, sum(told)) == (80, 40, 120)
    assert rows[0].n == 40


def test_labels_that_are_missing_are_refused_before_an_image_is_loaded():
    train = Dots(count=50, seed=0, unlabelled=50)
    with pytest.raises(ValueError, match=r"data\.root.*DIR/train/CLASS"):
        evaluate(train=train)
    assert train.asked == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": Dots(count=50, seed=0, classes=1)}, "one class only"),
        ({"image_size": 16}, "image_size=16.*8 x 8"),
        ({"test": Dots(count=50, seed=0, unlabelled=50)}, "50 test images"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        evaluate(**options)


def test_features_that_are_not_finite_and_splits_without_a_common_class_are_refused():
    features, labels = torch.randn(20, 3), torch.arange(20) % 4
    broken = features.clone()
    broken[3] = torch.nan
    with pytest.raises(ValueError, match="1 test images are not finite"):
        score(features, labels, broken, labels, model_name="trained", data_name="toy", classes=4)
    with pytest.raises(ValueError, match="same class names"):
        score(
            features, labels, features, labels + 4, model_name="trained", data_name="toy", classes=8
        )
    with pytest.raises(ValueError, match="one class"):
        score(
            features,
            labels.view(5, 2, 2),
            features,
            labels,
            model_name="trained",
            data_name="toy",
            classes=4,
        )


def test_floors_are_kept_and_the_next_run_does_not_pay_for_them(tmp_path):
    floor, again = Blind(), Blind()
    first = evaluate(random_init=floor, floors_cache=tmp_path / "floors", data_name="a")
    second = evaluate(random_init=again, floors_cache=tmp_path / "floors", data_name="b")
    assert (floor.calls, again.calls) == (300 + 2 * 16, 0)
    assert [row.value for row in first] == [row.value for row in second]
    assert {row.data for row in second} == {"b"}
    assert not list(tmp_path.rglob("*.half"))


@pytest.mark.parametrize(
    "options",
    [
        {"random_init": Blind(seed=1)},
        {"train": Dots(count=201, seed=0)},
        {"test": Dots(count=100, seed=2)},
        {"limit_train": 100},
        {"mean": (0.4, 0.5, 0.5)},
        {"precision": "bf16"},
    ],
)
def test_floors_of_anything_else_are_not_reused(tmp_path, options):
    evaluate(floors_cache=tmp_path)
    floor = options.pop("random_init", Blind())
    floor.calls = 0
    evaluate(random_init=floor, floors_cache=tmp_path, **options)
    assert floor.calls > 0


def test_raw_pixels_are_shared_by_encoders(tmp_path):
    evaluate(floors_cache=tmp_path)
    evaluate(random_init=Blind(seed=1), floors_cache=tmp_path)
    kept = [json.loads(path.read_text())["key"]["floor"] for path in tmp_path.iterdir()]
    assert sorted(kept) == ["random_init"] * 4 + ["raw_pixels"] * 2  # by probe


class Asked(Probe):
    """Notes which models it is asked about."""

    reads = frozenset({"pooled"})
    pixels = True

    def __init__(self):
        self.models = []

    def rows(self, inputs):
        self.models.append(inputs.model)
        return []


def test_a_probe_more_leaves_the_kept_floors_of_the_others_alone(tmp_path):
    evaluate(floors_cache=tmp_path, probes=["knn"])
    asked = Asked()
    rows = evaluate(floors_cache=tmp_path, probes={"knn": asked} | probes_named(["linear"]))
    assert asked.models == ["trained"]
    assert {row.model for row in rows if row.metric == "linear_top1"} == {
        "trained",
        "random_init",
        "raw_pixels",
    }
    assert values(rows, "raw_pixels").keys() == set(METRICS)


def test_a_damaged_entry_is_computed_again(tmp_path):
    first = evaluate(floors_cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_text("{")
    floor = Blind()
    assert evaluate(random_init=floor, floors_cache=tmp_path) == first
    assert floor.calls > 300


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    rows = evaluate(train=Dots(count=50, seed=0), floors_cache=tmp_path / "file")
    assert {row.model for row in rows} == {"trained", "random_init", "raw_pixels"}
