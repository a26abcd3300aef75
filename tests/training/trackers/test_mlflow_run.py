"""A run in MLflow: what its store holds, and that others load the encoder from it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from networks import proven_in_this_process
from runs import rows
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.training.loggers import mlflow_logger
from ssl_patches.training.trackers.mlflow_run import store_of, tracking_to

mlflow = pytest.importorskip("mlflow")


def the_run(address: str):
    client = mlflow.MlflowClient(address)
    (experiment,) = client.search_experiments(filter_string="name = 'ssl_patches'")
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


def paths(client, run_id: str, at: str | None = None) -> set[str]:
    found = set()
    for each in client.list_artifacts(run_id, at):
        found |= paths(client, run_id, each.path) if each.is_dir else {each.path}
    return found


def check_record(address: str, run_dir: Path) -> None:
    """The record of a run of SMALL is whole: params, tags, metrics, artifacts, model."""
    client, run = the_run(address)
    summary = json.loads((run_dir / "summary.json").read_text())
    assert (run.info.status, run.info.run_name) == ("FINISHED", run_dir.name)
    assert run.data.params["sampler.rows"] == "3"
    assert run.data.params["task._target_"] == "ssl_patches.tasks.jigsaw.Jigsaw"
    assert run.data.tags["data_fingerprint"] == summary["data_fingerprint"]
    assert (run.data.tags["task"], run.data.tags["data"]) == ("jigsaw", "embedded")
    losses = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in losses] == [
        (int(row["step"]), float(row["loss"])) for row in rows(run_dir)
    ]
    for row in summary["results"]:
        place = "results" if row["model"] == "trained" else f"floors/{row['model']}"
        assert run.data.metrics[f"{place}/{row['metric']}"] == row["value"]
    assert paths(client, run.info.run_id) >= {"config.yaml", "summary.json", "figures/jigsaw.png"}
    check_model(address, run.info.run_id, run_dir)


def check_model(address: str, run_id: str, run_dir: Path) -> None:
    with tracking_to(address):
        model = mlflow.pyfunc.load_model(f"runs:/{run_id}/encoder")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 3, 32, 32)
    images = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    features = model.predict(images)
    assert features.shape == (2, 48)
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, 48)
    folder = f"local-dir:{run_dir / 'encoder'}"
    with torch.no_grad():
        expected = timm.create_model(folder, pretrained=True).eval()(torch.from_numpy(images))
    assert np.array_equal(features, expected.numpy())
    with pytest.raises(mlflow.exceptions.MlflowException):  # the signature is enforced
        model.predict(images[:, :2])


def test_a_run_keeps_its_record_in_its_own_directory(tracked_run):
    check_record(store_of(tracked_run)[0], tracked_run)


def test_mlflow_tracks_where_it_did_before(tmp_path, monkeypatch):
    for before in (None, "http://127.0.0.1:1"):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        if before:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
        with tracking_to(f"sqlite:///{tmp_path / 'x.db'}"):
            assert os.environ["MLFLOW_TRACKING_URI"].endswith("x.db")
        assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_nothing_is_written_before_a_run_begins(tmp_path):
    mlflow_logger(run_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a?b", "a%b"])
def test_a_directory_that_cannot_be_in_an_address_is_told(tmp_path, name):
    with pytest.raises(ValueError, match=r"set\s+logger.tracking_uri=sqlite:"):
        mlflow_logger(run_dir=tmp_path / name)
    assert (
        mlflow_logger(run_dir=tmp_path / name, tracking_uri="http://127.0.0.1:1").store[1] is None
    )


@pytest.fixture
def server(tmp_path):
    """A real tracking server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (folder / "log.txt").read_text()
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_a_real_server_gets_all_of_it_and_a_resumed_run_goes_on(server, tmp_path, at_home):
    words = [*SMALL, "callbacks=none", "trainer.log_every=1", "logger=mlflow"]
    words += [f"logger.tracking_uri={server}", f"run_dir={tmp_path / 'run'}"]
    with proven_in_this_process():
        assert main(["pretrain", *words]) == 0
    check_record(server, tmp_path / "run")
    _, before = the_run(server)
    with proven_in_this_process():
        assert (
            main(["pretrain", *words, "resume=true", "budget.images=96", "logger.model=false"]) == 0
        )
    client, after = the_run(server)
    assert after.info.run_id == before.info.run_id
    assert [p.step for p in client.get_metric_history(after.info.run_id, "loss")][-1] == 6
    assert after.info.status == "FINISHED"


@pytest.mark.slow
def test_a_file_store_takes_a_run_where_mlflow_still_allows_it(tmp_path, at_home, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = (tmp_path / "store").as_uri()
    words = [*SMALL, "callbacks=none", "trainer.log_every=1", "logger=mlflow"]
    with proven_in_this_process():
        assert (
            main(
                [
                    "pretrain",
                    *words,
                    f"logger.tracking_uri={address}",
                    f"run_dir={tmp_path / 'run'}",
                ]
            )
            == 0
        )
    check_record(address, tmp_path / "run")
