"""Runs that W&B's own client sends to a server: a stub on loopback, and no account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wandb_server
from networks import proven_in_this_process
from runs import rows
from small import SMALL
from wandb_server import Run, Server

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.training.loggers import run_id

WORDS = ("logger=wandb", "logger.offline=false", "logger.group=mine", "trainer.log_every=1")
TOUCHING = ("sampler.gap=0", "sampler.jitter=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sent(tmp_path_factory, home) -> tuple[Server, Path]:
    """A run with an alarm, as the server has it; never change it."""
    run_dir = tmp_path_factory.mktemp("runs") / "sent"
    with wandb_server.serving() as server, wandb_server.met_here(server, home):
        with proven_in_this_process():
            assert main(["pretrain", *SMALL, *WORDS, *TOUCHING, f"run_dir={run_dir}"]) == 0
    return server, run_dir


@pytest.fixture
def run(sent) -> Run:
    server, run_dir = sent
    assert list(server.runs) == [run_id(run_dir)]
    return server.runs[run_id(run_dir)]


def test_the_client_asks_for_nothing_that_the_stub_should_know(sent):
    assert set(sent[0].unknown) <= wandb_server.NEWER


def test_a_run_has_name_group_job_type_and_tags(run, sent):
    said = {key: run.said[key] for key in ("displayName", "groupName", "jobType", "project")}
    assert list(said.values()) == ["sent", "mine", "pretrain", "ssl_patches"]
    assert run.said["tags"] == ["jigsaw", "vit_tiny_patch16_224", "embedded"]
    assert run.exits == [0]


def test_settings_are_nested_config(run, sent):
    saved = json.loads(json.dumps(config.load(sent[1] / "config.yaml")))
    kept = {key: value for key, value in saved.items() if value not in (None, {})}  # W&B's rule
    assert {key: run.config[key] for key in kept} == kept


def test_images_seen_are_the_x_axis_and_rows_are_those_of_the_run(run, sent):
    defined = run.config["_wandb"]["m"]  # 1: name, 2: pattern, 5: which of them is the axis
    (every,) = [each for each in defined if each.get("2") == "*"]
    assert defined[every["5"] - 1]["1"] == "images"
    assert [row["loss"] for row in run.rows if "loss" in row] == [
        float(row["loss"]) for row in rows(sent[1])
    ]
    assert all(row["images"] == 16 * row.get("trainer/global_step", 0) for row in run.rows)


def test_results_floors_and_health_are_the_summary(run, sent):
    summary = json.loads((sent[1] / "summary.json").read_text())
    for row in summary["results"]:
        place = "results" if row["model"] == "trained" else f"floors/{row['model']}"
        assert run.summary[f"{place}/{row['metric']}"] == row["value"]
    assert run.summary["health/images"] == run.summary["budget/images"] == 64
    assert run.summary["data_fingerprint"] == summary["data_fingerprint"]


def test_pictures_are_uploaded_under_the_names_that_rows_give(run):
    shown = {key: row[key] for row in run.rows for key in row if key.startswith("previews/")}
    assert {"previews/jigsaw", "previews/patches", "previews/neighbours"} <= shown.keys()
    for picture in shown.values():
        for file in picture["filenames"]:
            assert run.files[file].startswith(b"\x89PNG")


def test_the_encoder_is_uploaded_with_its_card_and_comes_from_the_data(run, sent):
    server, run_dir = sent
    (data,), (encoder,) = server.of_type("dataset"), server.of_type("model")
    assert data.committed
    assert encoder.committed
    summary = json.loads((run_dir / "summary.json").read_text())
    about = {"data": "embedded", "data_fingerprint": summary["data_fingerprint"]}
    assert data.metadata == about
    assert about.items() <= encoder.metadata.items()
    assert encoder.metadata["results"]
    # data -> run -> encoder
    assert run.used == [data.name]
    assert encoder.asked["runName"] == run.name
    files = {file.name: file.read_bytes() for file in (run_dir / "encoder").iterdir()}
    assert {name: encoder.files[name] for name in files} == files
    listed = json.loads(encoder.files["wandb_manifest.json"])["contents"]
    assert listed.keys() == files.keys()


def test_an_alarm_is_an_alert(run, sent):
    (alarm,) = json.loads((sent[1] / "alarms.json").read_text())
    (alert,) = run.alerts
    assert alert["title"] == "touching at step 0"
    assert alert["text"] == f"{alarm['says']}. Try: {alarm['remedy']}"
    assert alert["severity"] == "WARN"
    (table,) = [row["alarm/touching/says"] for row in run.rows if "alarm/touching/says" in row]
    held = json.loads(run.files[table["path"]])
    assert held == {
        "columns": ["step", "says", "try"],
        "data": [[0, alarm["says"], alarm["remedy"]]],
    }
    assert run.summary["alarm/touching"] == 1  # a key has one kind of value
