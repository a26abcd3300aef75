"""Loggers get what metrics.csv gets, or are refused before anything is written."""

from __future__ import annotations

import pytest
from runs import rows
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.training import loggers


def test_tensorboard_is_written_or_asked_for(only_training, tmp_path, monkeypatch, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_dir = only_training(tmp_path / "run", "logger=tensorboard", "~callbacks.health")
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    assert set(events.Tags()["images"]) == {
        f"previews/{name}" for name in ("jigsaw", "neighbours", "patches")
    }
    assert [(event.step, pytest.approx(event.value)) for event in events.Scalars("loss")] == [
        (int(row["step"]), float(row["loss"])) for row in rows(run_dir)
    ]


def test_a_logger_that_is_not_installed_is_told_before_anything_is_written(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert main(["pretrain", *SMALL, "logger=tensorboard", f"run_dir={tmp_path / 'run'}"]) == 2
    assert (
        "logger=tensorboard: needs the package tensorboard; pip install 'ssl-patches[tensorboard]'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_wandb_takes_the_ids_of_all_run_directories_and_tells_them_apart(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(loggers, "WandbLogger", lambda **given: made.append(given["id"]))
    names = ["a:b", "a;b", "lr=1e-3,seed=0", "a#b?", "it's", "x" * 200, "gr\udcfc"]
    for name in names:
        loggers.wandb_logger(run_dir=tmp_path / name)
    assert len(set(made)) == len(names)
    assert not set("".join(made)) & set(":;,#?/'")
    assert all(len(each) < 128 and each.isascii() for each in made)
