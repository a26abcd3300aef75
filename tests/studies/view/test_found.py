"""What there is to see: runs, and pictures that a run has drawn, nothing else."""

from __future__ import annotations

import json
import shutil

import pytest

from ssl_patches.studies.view.found import (
    alarm_lines,
    figure_files,
    find_shown,
    picture_bytes,
    result_rows,
)


def test_a_run_is_one_and_a_folder_of_runs_names_them_below_it(run, study):
    alone, many = find_shown(run), find_shown(study)
    assert (alone.runs, alone.single, alone.name(0)) == ([run], True, "run")
    assert not many.single
    assert [many.name(number) for number in range(6)] == sorted(p.name for p in study.iterdir())


def test_what_is_no_run_says_what_it_is(run, tmp_path):
    with pytest.raises(ValueError, match=r"is no run and holds none \(a run has config.yaml\)"):
        find_shown(run / "figures")
    shutil.move(run / "encoder", tmp_path / "export")
    with pytest.raises(ValueError, match="is an export and no run"):
        find_shown(tmp_path / "export")


def test_pictures_are_png_of_the_run_itself_health_first(run, tmp_path):
    (tmp_path / "secret.png").write_bytes((run / "figures" / "health.png").read_bytes())
    (run / "figures" / "linked.png").symlink_to(tmp_path / "secret.png")
    (run / "figures" / "text.png").write_text("no picture")
    found = figure_files(run)
    assert list(found) == ["health", "neighbours", "jigsaw", "text"]
    assert picture_bytes(found["text"]) is None
    assert picture_bytes(found["health"])
    shutil.move(run / "figures", tmp_path / "figures")
    (run / "figures").symlink_to(tmp_path / "figures")
    assert figure_files(run) == {}


def test_alarms_and_results_that_are_damaged_are_absent(run):
    alarm = {"name": "collapse", "step": 3, "says": "all alike", "remedy": "a lower rate"}
    (run / "alarms.json").write_text(json.dumps([alarm]))
    assert alarm_lines(run) == ["collapse at step 3: all alike. Try: a lower rate"]
    for damaged in ("[", '{"a": 1}', "[1]", '[{"name": 1}]'):
        (run / "alarms.json").write_text(damaged)
        assert alarm_lines(run) == []
    assert result_rows({"results": [{"model": "trained"}]}) == []
