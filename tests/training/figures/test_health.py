"""The health panel is drawn where there was a check."""

from __future__ import annotations

import json

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ssl_patches.training.figures.health import _lines, _values_of_lone_dots, draw_health, said_of
from ssl_patches.training.rows import Rows

ROW = {
    "images": 16,
    "held_out_loss": 2.0,
    "train_loss": 1.9,
    "held_out_accuracy": 0.3,
    "train_accuracy": 0.4,
    "held_out_chance": 0.1,
    "effective_rank": 5.0,
    "gradient_norm": 1.0,
}


@pytest.mark.parametrize(
    ("panel", "metrics", "heights", "chance"),
    [
        ("accuracy", {"accuracy": 0.3, "chance": 0.1}, [30.0], [10.0]),
        (
            "accuracy",
            {"pair_accuracy": 0.3, "pair_chance": 0.1, "own_accuracy": 0.5},
            [30, 50],
            [10],
        ),
        ("loss", {"loss": 2.0, "pair_loss": 1.5, "accuracy": 0.3, "log_det": 7.0}, [2.0, 1.5], []),
        ("loss", {"loss": 2.0, "no_loss_at_all": 9.0}, [2.0], []),
        ("effective_rank", {"accuracy": 0.3}, [5.0], []),
    ],
)
def test_a_panel_shows_its_metrics_of_both_splits_and_their_chance(
    panel, metrics, heights, chance
) -> None:
    row = {"images": 16.0, "effective_rank": 5.0}
    row |= {
        f"{split}_{key}": value for split in ("held_out", "train") for key, value in metrics.items()
    }
    axis = Figure().subplots()
    _lines(axis, panel, [row, row], colour="C0")
    level = [line.get_ydata() for line in axis.lines if line.get_linestyle() == ":"]
    drawn = [line.get_ydata() for line in axis.lines if line.get_linestyle() != ":"]
    assert [values[0] for values in drawn] == (heights if panel in row else heights * 2)
    assert [values[0] for values in level] == chance


def test_without_a_check_nothing_is_drawn(tmp_path) -> None:
    assert not draw_health(tmp_path / "a.png", {"run": tmp_path}, title="x")
    assert not (tmp_path / "a.png").exists()


def test_runs_with_checks_are_drawn_with_their_alarms(tmp_path) -> None:
    rows = Rows(tmp_path / "health.csv")
    for step in (1, 2, 3):
        rows.append({"step": step, **{key: value * step for key, value in ROW.items()}})
    (tmp_path / "alarms.json").write_text(json.dumps([{"name": "collapse"}]))
    assert draw_health(tmp_path / "a.png", {"run": tmp_path}, title="x")
    assert imread(tmp_path / "a.png").std() > 0.05


def test_a_dot_without_another_has_its_value_beside_it() -> None:
    row = {"images": 16.0, "effective_rank": 5.25, "held_out_accuracy": 0.3, "held_out_chance": 0.1}
    for rows, told in (([row], {"5.25", "30"}), ([row, row], set())):
        axis = Figure().subplots()
        for panel in ("effective_rank", "accuracy"):
            _lines(axis, panel, rows, colour="C0")
        _values_of_lone_dots(axis)
        assert {text.get_text() for text in axis.texts} == told  # and none at the line of chance


def test_a_run_of_negative_losses_is_drawn(tmp_path) -> None:
    rows = Rows(tmp_path / "health.csv")
    rows.append({"step": 1, **ROW, "held_out_loss": -2.0, "train_loss": -2.1})
    assert draw_health(tmp_path / "a.png", {"run": tmp_path}, title="x")


@pytest.mark.parametrize(
    ("alarms", "images", "said"),
    [
        (["chance"], 10, "alarms: chance"),
        (["chance", "apart"], 9000, "alarms: chance, apart"),
        ([], 4999, "no alarm so far; learning is judged from 5,000 images on"),
        ([], 5000, "no alarm"),
    ],
)
def test_a_short_run_is_not_said_to_be_free_of_alarms(alarms, images, said) -> None:
    assert said_of(alarms, images=images) == said
