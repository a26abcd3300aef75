"""Loggers get what metrics.csv gets, or are refused before anything is written."""

from __future__ import annotations

import pytest
from runs import rows
from small import SMALL

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.config import BadRequest
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
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


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_logger_that_is_not_installed_is_told_before_anything_is_written(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert main(["pretrain", *SMALL, f"logger={name}", f"run_dir={tmp_path / 'run'}"]) == 2
    assert (
        f"logger={name}: needs the package {name}; pip install 'ssl-patches[{name}]'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_wandb_takes_the_ids_of_all_run_directories_and_tells_them_apart(tmp_path):
    names = ["a:b", "a;b", "lr=1e-3,seed=0", "a#b?", "it's", "x" * 200, "gr\udcfc"]
    made = [loggers.wandb_logger(run_dir=tmp_path / name).version for name in names]
    assert len(set(made)) == len(names)
    assert not set("".join(made)) & set(":;,#?/'")
    assert all(len(each) < 128 and each.isascii() for each in made)


@pytest.fixture
def no_sweep(monkeypatch):
    for name in ("WANDB_SWEEP_ID", "WANDB_MODE", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def begun(monkeypatch, run_dir, **settings) -> dict:
    """What the client is asked to begin."""
    import wandb

    asked: dict = {}
    monkeypatch.setattr(wandb, "run", None)
    monkeypatch.setattr(loggers, "taken_by_server", lambda: True)
    monkeypatch.setattr(wandb, "init", lambda **given: asked.update(given))
    _ = loggers.wandb_logger(run_dir=run_dir, **settings).experiment
    return asked


def test_wandb_is_offline_and_goes_on_where_it_was(no_sweep, monkeypatch, tmp_path):
    asked = begun(monkeypatch, tmp_path / "one")
    assert (asked["mode"], asked["name"], asked["resume"]) == ("offline", "one", "allow")
    assert asked["id"] == loggers.run_id(tmp_path / "one")
    assert asked["group"] is None
    assert begun(monkeypatch, tmp_path / "one", offline=False)["mode"] is None


def test_the_group_of_a_run_is_its_study(no_sweep, monkeypatch, tmp_path):
    (tmp_path / "cell.json").write_text('{"study": "tasks_embedded", "key": "1"}')
    assert begun(monkeypatch, tmp_path)["group"] == "tasks_embedded"
    assert begun(monkeypatch, tmp_path, group="mine")["group"] == "mine"


def test_in_a_sweep_of_wandb_the_id_is_the_agents(no_sweep, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    asked = begun(monkeypatch, tmp_path)
    assert [asked[key] for key in ("id", "name", "resume", "mode")] == [None] * 4
    assert asked["group"] == "sweep7"
    assert begun(monkeypatch, tmp_path, offline=True)["mode"] == "offline"


@pytest.mark.parametrize("word", ["logger=[wandb,tensorboard]", "logger=[tensorboard,wandb,wandb]"])
def test_several_loggers_stand_side_by_side_and_take_their_own_settings(word):
    words = [word, "logger.wandb.project=mine"]
    found = config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN)["logger"]
    targets = {name: node["_target_"].rpartition(".")[2] for name, node in found.items()}
    assert targets == {"wandb": "wandb_logger", "tensorboard": "tensorboard_logger"}
    assert found["wandb"]["project"] == "mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["logger=[wandb,tensorbord]"], "did you mean 'tensorboard'?"),
        (["logger=[wandb,csv]", "logger.wandb.projct=x"], "did you mean 'logger.wandb.project'?"),
        (["logger=[wandb,csv]", "logger.wandb.offline=3"], "logger.wandb.offline=3: must be"),
    ],
)
def test_what_is_wrong_with_one_of_several_loggers_is_told(words, told):
    with pytest.raises(BadRequest) as caught:
        config.request("pretrain", words, supplied=SUPPLIED, schema=PRETRAIN)
    assert told in str(caught.value)


def test_the_end_of_a_run_waits_for_wandb_some_time(no_sweep, monkeypatch, tmp_path):
    asked = begun(monkeypatch, tmp_path, finish_timeout=5)
    assert asked["settings"] == {"finish_timeout": 5, "finish_timeout_raises": True}
    with pytest.raises(ValueError, match="finish_timeout=0: must be above 0"):
        loggers.wandb_logger(run_dir=tmp_path, finish_timeout=0)
