"""Alarms: each is raised by what it is for, once, and none by a healthy run."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from ssl_patches.sampler import PatchSampler
from ssl_patches.tasks.jigsaw import Jigsaw
from ssl_patches.tasks.masked import Masked
from ssl_patches.training.callbacks.alarms import (
    READINGS,
    TRY,
    Alarms,
    LossWatch,
    of_check,
    of_geometry,
)

HEALTHY = {
    "step": 500,
    "images": 50_000,
    "seconds": 300.0,
    "held_out_loss": 1.2,
    "held_out_accuracy": 0.55,
    "held_out_chance": 0.125,
    "train_loss": 1.1,
    "train_accuracy": 0.58,
    "train_chance": 0.125,
    "effective_rank": 60.0,
    "deviation": 0.4,
    "mean_cosine": 0.84,
    "data_wait": 0.05,
}
SICK = {
    "collapse": {"deviation": 0.003, "mean_cosine": 0.99999},
    "not_finite": {"held_out_loss": math.nan},
    "chance": {"held_out_accuracy": 0.126, "train_accuracy": 0.13},
    "shortcut": {"held_out_accuracy": 0.995, "train_accuracy": 0.996},
    "apart": {"train_accuracy": 0.9},
    "data_bound": {"data_wait": 0.6},
}


def raised(row: dict, progress: float = 0.5) -> list[str]:
    return [name for name, _ in of_check(row, progress=progress)]


def test_a_healthy_check_raises_nothing():
    assert raised(HEALTHY) == []


@pytest.mark.parametrize("name", SICK)
def test_each_alarm_is_raised_by_its_own_sickness_only(name):
    assert raised(HEALTHY | SICK[name]) == [name]


def test_features_with_a_large_mean_have_not_collapsed():
    """Of a run of experiments/tasks_cifar10 whose linear probe is four points above random
    weights."""
    assert (
        raised(HEALTHY | {"effective_rank": 3.08, "deviation": 0.0329, "mean_cosine": 0.9989}) == []
    )


def test_features_in_one_direction_have_collapsed_too():
    assert raised(HEALTHY | {"effective_rank": 1.9}) == ["collapse"]


@pytest.mark.parametrize("early", [{"progress": 0.1}, {"images": 1000}, {"seconds": 5.0}])
def test_what_needs_time_is_given_time(early):
    """A task waits at chance before it rises, and the first batches are always waited for."""
    row = HEALTHY | {"images": early.get("images", 50_000), "seconds": early.get("seconds", 300.0)}
    progress = early.get("progress", 0.5)
    sick = SICK["data_bound"] if "seconds" in early else SICK["chance"]
    assert raised(row | sick, progress) == []


def test_a_task_without_accuracy_is_judged_by_its_loss():
    masked = {
        key: value
        for key, value in HEALTHY.items()
        if "accuracy" not in key and "chance" not in key
    }
    assert raised(masked) == []
    assert raised(masked | {"held_out_loss": 2.0}) == ["apart"]


def test_each_accuracy_is_held_against_its_own_chance():
    """``relation`` asks two questions; of a mixture each part has its own."""
    second = {f"{split}_cell_accuracy": 0.021 for split in ("held_out", "train")} | {
        "held_out_cell_chance": 0.02
    }
    found = list(of_check(HEALTHY | second, progress=0.5))
    assert [name for name, _ in found] == ["chance"]
    assert "cell accuracy" in found[0][1]


def judged(losses: list[float], norms: list[float] | None = None) -> list[str]:
    watch = LossWatch()
    norms = norms or [1.0] * len(losses)
    return [
        said for loss, norm in zip(losses, norms, strict=True) if (said := watch.judge(loss, norm))
    ]


def test_a_loss_that_falls_with_noise_is_no_alarm():
    assert judged([2.0 * 0.97**step + 0.15 * (-1) ** step for step in range(100)]) == []
    assert judged([2.08 + 0.01 * (-1) ** step for step in range(100)]) == []  # still at chance


@pytest.mark.parametrize("seed", range(50))
def test_the_noise_of_small_batches_is_no_alarm(seed):
    """Batches of 16, a loss that falls by a tenth: the best of many medians is low by chance, and
    is not what was gained."""
    noise = 0.15 * torch.randn(400, generator=torch.Generator().manual_seed(seed))
    assert judged([3.3 - 0.3 * step / 400 + float(noise[step]) for step in range(400)]) == []


def test_a_negative_loss_that_stays_is_no_alarm_and_one_that_rises_is():
    assert judged([-2.0 + 0.01 * (-1) ** step for step in range(100)]) == []
    assert "it began with" in judged([-2.0] * READINGS + [-1.0] * READINGS)[0]


def test_one_outlier_is_no_alarm():
    losses, norms = [2.0 - 0.01 * step for step in range(60)], [1.0] * 60
    losses[30], norms[30] = 50.0, 1e6
    assert judged(losses, norms) == []


def test_a_loss_above_its_start_is_told():
    assert "above the 2 that it began with" in judged([2.0] * READINGS + [3.0] * READINGS)[0]


def test_a_loss_that_loses_what_it_gained_is_told():
    found = judged([2.0] * READINGS + [1.0] * READINGS + [1.8] * READINGS)
    assert "after it had fallen from 2 to 1" in found[0]


def test_a_rate_that_spoils_the_weights_at_once_is_told():
    """As met in experiments/is_it_working: wild for a few steps, then dead at chance for ever."""
    assert (
        "above the 2.08 that it began with"
        in judged([2.08, 9.0, 12.0, 7.0, 5.0, 4.0, 2.2] + [2.08] * 40)[0]
    )


def test_an_exploding_gradient_is_told():
    assert "gradient rose from 1 to 1e+03" in judged([2.0] * 20, [1.0] * 10 + [1000.0] * 10)[0]


class Recorder:
    def __init__(self) -> None:
        self.metrics, self.texts = [], []

    def log_metrics(self, metrics, step):
        self.metrics.append((metrics, step))

    def log_text(self, key, columns, data):
        self.texts.append((key, data))


def test_an_alarm_goes_once_to_terminal_file_and_logger(tmp_path, capsys):
    logger = Recorder()
    trainer = SimpleNamespace(global_step=7, loggers=[logger])
    alarms = Alarms(tmp_path / "alarms.json", step=0)
    for _ in range(3):
        alarms.sound(trainer, "collapse", "all alike")
    line = capsys.readouterr().err
    assert line.count("ALARM collapse at step 7: all alike. Try: ") == 1
    (kept,) = json.loads((tmp_path / "alarms.json").read_text())
    assert kept == {"name": "collapse", "step": 7, "says": "all alike", "remedy": TRY["collapse"]}
    assert logger.metrics == [({"alarm/collapse": 1.0}, 7)]
    assert logger.texts == [("alarm/collapse/says", [[7, "all alike", TRY["collapse"]]])]


def test_a_resumed_run_remembers_what_it_said_before_its_checkpoint(tmp_path):
    alarms = Alarms(tmp_path / "alarms.json", step=0)
    alarms.sound(SimpleNamespace(global_step=5, loggers=[]), "chance", "stuck")
    alarms.sound(SimpleNamespace(global_step=9, loggers=[]), "collapse", "alike")
    assert list(Alarms(tmp_path / "alarms.json", step=6).raised) == ["chance"]


@pytest.mark.parametrize(
    ("settings", "touch"),
    [
        ({}, False),
        ({"gap": 1, "jitter": 0}, False),
        ({"gap": 0}, True),
        ({"gap": 0, "jitter": 0}, False),  # in the middle of their cells
        ({"gap": 0, "jitter": 2}, True),
        ({"tile": 10, "gap": 0, "jitter": 0}, True),
        ({"tile": 8, "scales": [1.25, 1.25], "gap": 0, "jitter": 0}, True),
    ],
)
def test_tiles_that_may_touch_are_told_before_the_first_step(settings, touch):
    """The boxes of many draws say the same."""
    sampler = PatchSampler(**{"image_size": 32, "rows": 3, "cols": 3, "tile": 8, **settings})
    asked = Jigsaw(dim=8, grid=sampler.grid)
    assert [name for name, _ in of_geometry(asked, sampler)] == (["touching"] if touch else [])
    assert not list(of_geometry(Masked(dim=8, grid=sampler.grid, depth=1), sampler))
    boxes = sampler.boxes(4000, torch.device("cpu")).unflatten(1, (3, 3))
    apart = boxes[:, :, 1:, 1] - boxes[:, :, :-1, 1] - boxes[:, :, :-1, 3]
    assert (apart.min() < 1) == touch
    assert apart.min() >= sampler.distance


def test_every_alarm_says_what_to_try():
    assert set(TRY) == {*SICK, "learning_rate", "touching"}
