"""Runs that W&B's own client sends to a server: a stub on loopback, and no account."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb
import wandb_answers
import wandb_server
from networks import proven_in_this_process
from runs import rows
from small import SMALL
from wandb_answers import Run, Server
from wandb_files import Written

from ssl_patches import config
from ssl_patches.cli import main
from ssl_patches.training.loggers import run_id
from ssl_patches.training.trackers import wandb_account

WORDS = ("logger=wandb", "logger.offline=false", "logger.group=mine", "trainer.log_every=1")
TOUCHING = ("sampler.gap=0", "sampler.jitter=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def sent(tmp_path_factory, home) -> tuple[Server, Path]:
    """A run with an alarm, as the server has it; never change it."""
    run_dir = tmp_path_factory.mktemp("runs") / "sent"
    here = wandb_server.serving()
    with here as server, wandb_server.met_here(server, home), proven_in_this_process():
        assert main(["pretrain", *SMALL, *WORDS, *TOUCHING, f"run_dir={run_dir}"]) == 0
    return server, run_dir


@pytest.fixture
def run(sent) -> Run:
    """That run on the server."""
    server, run_dir = sent
    assert list(server.runs) == [run_id(run_dir)]
    return server.runs[run_id(run_dir)]


@pytest.mark.slow
def test_the_client_asks_for_nothing_that_the_stub_should_know(sent):
    assert set(sent[0].unknown) <= wandb_server.NEWER


@pytest.mark.slow
def test_a_run_has_name_group_job_type_and_tags(run, sent):
    said = {key: run.said[key] for key in ("displayName", "groupName", "jobType", "project")}
    assert list(said.values()) == ["sent", "mine", "pretrain", "ssl_patches"]
    assert run.said["tags"] == ["jigsaw", "vit_tiny_patch16_224", "embedded"]
    assert run.exits == [0]


@pytest.mark.slow
def test_settings_are_nested_config(run, sent):
    saved = json.loads(json.dumps(config.load(sent[1] / "config.yaml")))
    kept = {key: value for key, value in saved.items() if value not in (None, {})}  # W&B's rule
    assert {key: run.config[key] for key in kept} == kept


@pytest.mark.slow
def test_images_seen_are_the_x_axis_and_rows_are_those_of_the_run(run, sent):
    defined = run.config["_wandb"]["m"]  # 1: name, 2: pattern, 5: which of them is the axis
    (every,) = [each for each in defined if each.get("2") == "*"]
    assert defined[every["5"] - 1]["1"] == "images"
    assert [row["loss"] for row in run.rows if "loss" in row] == [
        float(row["loss"]) for row in rows(sent[1])
    ]
    assert all(row["images"] == 16 * row.get("trainer/global_step", 0) for row in run.rows)


@pytest.mark.slow
def test_results_floors_and_health_are_the_summary(run, sent):
    summary = json.loads((sent[1] / "summary.json").read_text())
    for row in summary["results"]:
        place = "results" if row["model"] == "trained" else f"floors/{row['model']}"
        assert run.summary[f"{place}/{row['metric']}"] == row["value"]
    assert run.summary["health/images"] == run.summary["budget/images"] == 64
    assert run.summary["data_fingerprint"] == summary["data_fingerprint"]


@pytest.mark.slow
def test_pictures_are_uploaded_under_the_names_that_rows_give(run):
    shown = {key: row[key] for row in run.rows for key in row if key.startswith("previews/")}
    assert {"previews/jigsaw", "previews/patches", "previews/neighbours"} <= shown.keys()
    for picture in shown.values():
        for file in picture["filenames"]:
            assert run.files[file].startswith(b"\x89PNG")


@pytest.mark.slow
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


@pytest.mark.slow
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


def break_off(server: Server, how: str) -> None:
    """Let a server fail from now on."""
    if how == "gone":
        os.environ["WANDB_BASE_URL"] = "http://127.0.0.1:1"
    elif how == "silent":
        server.silent = True
    else:
        server.status = {"broken": 500, "forbidden": 401}[how]


def sync(server: Server, home: Path, folder: Path) -> None:
    """Send what was not sent, as a user does it."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--include-online", str(folder)],
        env={**os.environ, **wandb_server.environment(server, home)},
        cwd=home,  # where it writes a log of its own
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def server(tmp_path_factory, home, monkeypatch):
    """A server of which the client of this process waits a second for an answer."""
    monkeypatch.setattr(wandb_account, "WAIT", 1.0)
    with wandb_server.serving() as held, wandb_server.met_here(held, home):
        monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
        yield held


def pretrained(run_dir: Path, *words: str) -> int:
    return main(["pretrain", *SMALL, *WORDS, "callbacks=none", *words, f"run_dir={run_dir}"])


def test_a_resumed_run_goes_on_under_the_same_id(server, tmp_path, quick_end):
    assert pretrained(tmp_path / "run") == 0
    (run,) = server.runs.values()
    assert (run.name, run.said["displayName"]) == (run_id(tmp_path / "run"), "run")
    assert run.said["tags"] == ["jigsaw", "vit_tiny_patch16_224", "embedded"]
    assert run.used == [data.name for data in server.of_type("dataset")]
    before = list(run.rows)
    assert pretrained(tmp_path / "run", "resume=true", "budget.images=96") == 0
    assert list(server.runs) == [run.name]
    assert run.rows[: len(before)] == before
    assert [row["trainer/global_step"] for row in run.rows] == [1, 2, 3, 4, 5, 6]
    assert [row["_step"] for row in run.rows] == list(range(6))
    assert run.exits == [0, 0]


def test_a_user_whom_the_server_does_not_know_is_told_before_anything_is_written(
    server, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert pretrained(tmp_path / "run") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "logger=wandb" in line]
    assert line.endswith(
        "user is not logged in; log in with: wandb login, or put WANDB_MODE=offline before the"
        " command, which keeps the run in files that wandb sync sends later"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "fails", ["broken", "gone", pytest.param("silent", marks=pytest.mark.slow)]
)
def test_without_an_answer_at_the_beginning_the_run_is_kept_in_files(
    fails, server, tmp_path, quick_end, monkeypatch, capsys
):
    break_off(server, fails)
    assert pretrained(tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert f"logger=wandb: no answer from {os.environ['WANDB_BASE_URL']}: " in said
    assert f"wandb sync {tmp_path}/run/wandb/offline-run-*" in said
    assert not server.runs
    wandb.teardown()  # the file is written to its end
    written = Written(tmp_path / "run")
    assert [row["trainer/global_step"] for row in written.history()] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "fails",
    ["forbidden", *(pytest.param(each, marks=pytest.mark.slow) for each in ("broken", "silent"))],
)
def test_a_server_that_fails_later_is_not_the_end_of_a_run(
    fails, server, tmp_path, quick_end, capsys
):
    server.after["ArtifactByID"] = lambda: break_off(server, fails)
    began = time.monotonic()
    assert pretrained(tmp_path / "run", "logger.finish_timeout=2") == 0
    assert time.monotonic() - began < 20
    assert (tmp_path / "run" / "summary.json").is_file()
    said = capsys.readouterr().err
    if fails == "forbidden":  # the client gives up, and says so itself
        assert "Some run data will not be synced" in said
        assert "logger=wandb" not in said
        return
    (line,) = [line for line in said.splitlines() if "logger=wandb" in line]
    (folder,) = (tmp_path / "run" / "wandb").glob("run-*")
    assert (
        f"take all of it within 2 s; send the rest with: wandb sync --include-online {folder}; "
        in line
    )


def test_a_server_that_takes_no_artifacts_is_told_before_training(
    server, tmp_path, monkeypatch, capsys
):
    monkeypatch.delitem(wandb_answers.ANSWERS, "CreateArtifact")
    assert pretrained(tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert "logger=wandb cannot begin: ArtifactSaver.createArtifact: " in said
    assert "; logger.artifacts=false leaves artifacts out; " in said
    assert not (tmp_path / "run" / "metrics.csv").exists()


@pytest.mark.slow
def test_training_does_not_wait_for_a_slow_server(server, tmp_path, quick_end):
    server.delay = 0.5
    assert pretrained(tmp_path / "run", "budget.images=640") == 0
    (run,) = server.runs.values()
    assert [row["trainer/global_step"] for row in run.rows] == list(range(1, 41))
    assert run.exits == [0]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["budget_used"]["seconds"] < 40 * server.delay / 2


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at once", "ArtifactByID"])
def test_what_was_not_sent_is_sent_later(when, server, tmp_path, quick_end, home):
    if when == "at once":
        break_off(server, "broken")
    server.after[when] = lambda: break_off(server, "broken")
    assert pretrained(tmp_path / "run", "logger.finish_timeout=2") == 0
    assert not any(run.rows for run in server.runs.values())
    server.status, server.after = 200, {}
    (folder,) = (tmp_path / "run" / "wandb").glob("*run-*")
    wandb.teardown()
    sync(server, home, folder)
    (run,) = server.runs.values()
    assert run.name == run_id(tmp_path / "run")
    assert [row["trainer/global_step"] for row in run.rows] == [1, 2, 3, 4]
    assert run.exits[-1] == 0


@pytest.mark.slow
def test_a_run_outlives_the_process_of_the_client(tmp_path, home):
    """It is the first that is killed where memory is short."""
    words = [*SMALL, *WORDS, "callbacks=none", "budget.images=4800", f"run_dir={tmp_path / 'run'}"]
    with wandb_server.serving() as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "ssl_patches", "pretrain", *words],
            env={**os.environ, **wandb_server.environment(server, home)},
            stderr=subprocess.PIPE,
            text=True,
        )
        rows_of = tmp_path / "run" / "metrics.csv"
        while not (rows_of.is_file() and rows_of.stat().st_size):
            assert process.poll() is None
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        (core,) = {int(child) for file in children for child in file.read_text().split()}
        os.kill(core, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    (line,) = [line for line in said.splitlines() if "logger=wandb" in line]
    assert "the run is unharmed, all results stand in its own directory" in line
    assert len(rows(tmp_path / "run")) == 300
    assert (tmp_path / "run" / "summary.json").is_file()
