"""A run in W&B: what an offline run wrote, read back record by record.

What a server gets is in tests/test_wandb_online.py.
"""

from __future__ import annotations

import json

import pytest
from runs import rows
from wandb_files import Written

from ssl_patches import config
from ssl_patches.training.loggers import run_id, wandb_logger
from ssl_patches.training.trackers.wandb_run import artifact_name


@pytest.fixture(scope="module")
def written(tracked_run) -> Written:
    return Written(tracked_run)


def test_a_run_has_name_project_job_type_tags_and_the_id_of_its_directory(written, tracked_run):
    run = written.run
    assert (run.display_name, run.project, run.job_type) == (
        tracked_run.name,
        "ssl_patches",
        "pretrain",
    )
    assert run.run_id == run_id(tracked_run)
    assert written.tags() == {"mine", "jigsaw", "vit_tiny_patch16_224", "embedded"}


def test_settings_are_nested_config_as_the_run_keeps_them(written, tracked_run):
    kept = written.config()
    assert (
        kept["data_fingerprint"]
        == json.loads((tracked_run / "summary.json").read_text())["data_fingerprint"]
    )
    saved = config.load(tracked_run / "config.yaml")
    assert {key: kept[key] for key in saved} == json.loads(json.dumps(saved))


def test_images_seen_are_the_x_axis_of_every_row(written, tracked_run):
    (*_, every) = [metric for metric in written.of("metric") if metric.glob_name == "*"]
    assert every.step_metric == "images"
    history = written.history()
    assert all(row["images"] == 16 * row["trainer/global_step"] for row in history)
    assert [row["loss"] for row in history if "loss" in row] == [
        float(row["loss"]) for row in rows(tracked_run)
    ]
    assert any("health/effective_rank" in row for row in history)


def test_the_summary_has_results_floors_and_health_at_the_end(written, tracked_run):
    kept, summary = written.summary(), json.loads((tracked_run / "summary.json").read_text())
    for row in summary["results"]:
        place = "results" if row["model"] == "trained" else f"floors/{row['model']}"
        assert kept[f"{place}/{row['metric']}"] == row["value"]
    assert kept["health/images"] == kept["budget/images"] == 64
    assert kept["alarms"] == len(summary["alarms"])


def test_the_task_at_work_is_media_where_no_preview_was(written):
    pictures = [key for row in written.history() for key in row if key.startswith("previews/")]
    assert "previews/jigsaw/filenames" in pictures
    assert list(written.file.parent.glob("files/media/images/previews/jigsaw_*.png"))


def test_the_encoder_is_an_artifact_with_card_and_lineage(written, tracked_run):
    data, encoder = written.of("artifact")
    summary = json.loads((tracked_run / "summary.json").read_text())
    fingerprint = summary["data_fingerprint"]
    assert (data.type, data.name) == ("dataset", f"embedded-{fingerprint[:8]}")
    assert (encoder.type, encoder.run_id) == ("model", run_id(tracked_run))
    about = json.loads(encoder.metadata)
    assert about["data_fingerprint"] == json.loads(data.metadata)["data_fingerprint"] == fingerprint
    assert about["results"]
    files = {entry.path: entry.local_path for entry in encoder.manifest.contents}
    assert {"model.safetensors", "ssl_patches.json", "README.md"} <= files.keys()
    assert files["config.json"] == str(tracked_run.resolve() / "encoder" / "config.json")


class Told:
    """What a run of W&B is asked to do."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, str]] = []

    def alert(self, **given: str) -> None:
        self.alerts.append(given)


def test_an_alarm_is_an_alert_with_a_title_that_is_short_enough(tmp_path):
    logger = wandb_logger(run_dir=tmp_path)
    told = logger._experiment = Told()
    logger.alert("collapse" * 20, "all alike")
    (alert,) = told.alerts
    assert (alert["level"], alert["text"]) == ("WARN", "all alike")
    assert len(alert["title"]) < 64


@pytest.mark.parametrize("text", ["a:b", "gr\udcfc", "??", "x" * 300, "images (2)", "ä"])
def test_names_of_artifacts_are_of_the_letters_that_these_have(text):
    name = artifact_name(text)
    assert 0 < len(name) <= 128
    assert set(name) <= set("abimgrstedx-._0123456789")
