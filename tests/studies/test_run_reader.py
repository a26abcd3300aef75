"""Run directories are read as they are, whatever is missing or damaged in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_patches.studies.run_reader import (
    last_error,
    read_run,
    run_folders,
    run_state,
    typed_command,
    used,
)


@pytest.fixture
def run(write_run, tmp_path) -> Path:
    return write_run(tmp_path / "run", task="masked", linear_top1=40.0)


def test_a_finished_run_is_read_whole(run):
    found = read_run(run)
    assert found.state.kind == "finished"
    assert found.metrics == {"linear_top1": 40.0}
    assert found.used["images"] == 2000
    assert found.settings["seed"] == 0


def test_a_half_written_line_of_metrics_is_not_read(run):
    (run / "summary.json").unlink()
    with (run / "metrics.csv").open("a") as file:
        file.write("\n10,1000,1,1\n11,9")
    assert used(run)["images"] == 1000
    (run / "metrics.csv").unlink()
    assert used(run) == {}


def test_settings_that_cannot_be_read_are_a_crash_and_empty(run):
    (run / "config.yaml").write_text("seed: [")
    assert (read_run(run).state.kind, read_run(run).settings) == ("crashed", {})


def test_states_follow_from_files(run, tmp_path):
    assert run_state(tmp_path / "nowhere").kind == "missing"
    (run / "summary.json").write_text('{"results": [')
    assert run_state(run).kind == "stopped"
    assert "summary.json cannot be read" in run_state(run).note
    (run / "summary.json").unlink()
    assert (run_state(run).kind, run_state(run).note) == ("stopped", "")
    (run / "error.txt").write_text("Traceback\nValueError: no\n")
    assert (run_state(run).kind, run_state(run).note) == ("failed", "ValueError: no")
    (run / "error.txt").write_bytes(b"\xff\n")
    assert last_error(run)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"results": 5}', '{"results": [3]}', '{"results": [], "budget_used": []}'],
)
def test_a_damaged_summary_is_a_note_and_nothing_of_it_is_shown(run, content):
    (run / "summary.json").write_text(content)
    found = read_run(run)
    assert (found.state.kind, found.metrics, found.summary) == ("stopped", {}, {})
    assert "summary.json cannot be read" in found.state.note


@pytest.mark.parametrize("row", [{}, {"model": "trained"}, {"model": "trained", "metric": [1]}])
def test_a_row_without_its_fields_is_not_shown(run, row):
    (run / "summary.json").write_text(json.dumps({"results": [row], "budget_used": {"images": ""}}))
    assert (read_run(run).metrics, read_run(run).used) == ({}, {})


def test_hidden_folders_are_no_runs(run, write_run, tmp_path):
    write_run(tmp_path / ".gone.removed", linear_top1=1.0)
    assert list(run_folders(tmp_path)) == [run]


def test_the_command_is_what_was_typed_without_where_the_run_lies(run):
    words = ["task=masked", "run_dir=x", "--config-dir=my conf"]
    assert typed_command(run, {"words": words}, {}) == (
        "ssl-patches pretrain task=masked '--config-dir=my conf'"
    )
    assert typed_command(run, {}, {}) is None
    (run / "cell.json").write_text(json.dumps({"words": ["task=masked", "seed=3"]}))
    assert typed_command(run, {}, {}) == "ssl-patches pretrain task=masked seed=3"


def test_runs_that_no_command_makes_show_none(run):
    live = ["data=own", "data._target_=ssl_patches.data.live.live_source"]
    assert typed_command(run, {"words": live}, {}) is None
    baseline = {"task": {"_target_": "ssl_patches.training.supervised.Supervised"}}
    assert typed_command(run, {"words": ["task=masked"]}, baseline) is None
