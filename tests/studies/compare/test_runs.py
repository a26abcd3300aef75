"""Which runs are read, which are skipped and why, which are repetitions of each other, which must
not be mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ssl_patches.config.run_dir import LABELS
from ssl_patches.studies.compare.comparison import compare_runs
from ssl_patches.studies.compare.runs import find_runs


def entries(place: Path, **asked) -> dict[str, int]:
    return {entry.name: len(entry.seeds) for entry in compare_runs([place], **asked).entries}


def edit(run: Path, **changes) -> Path:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, **changes}))
    return run


def test_every_damaged_run_is_left_out_with_its_reason_and_takes_no_other_with_it(study):
    def damaged(name: str) -> Path:
        return Path(shutil.copytree(study / "jigsaw-0", study / name))

    (damaged("b-half") / "summary.json").write_text('{"task": "jig')
    (damaged("b-empty") / "summary.json").write_text("")
    (damaged("b-list") / "summary.json").write_text("[]")
    (damaged("b-unfinished") / "summary.json").unlink()
    (damaged("b-config") / "config.yaml").write_text("a: [")
    edit(damaged("b-nan"), images_per_second=float("nan"))
    edit(
        damaged("b-rows"), results=[{"model": "trained", "metric": "linear_top1", "value": "good"}]
    )
    edit(damaged("b-spent"), budget_used={"images": 3})
    (study / "b-failed").mkdir()
    (study / "b-failed" / "error.txt").write_text(
        "Traceback ...\nValueError: task.k=9: must be less\n"
    )
    (study / "b-binary").mkdir()
    (study / "b-binary" / "config.yaml").write_bytes(b"\xff\xfe\x00")
    (study / "b-binary" / "summary.json").write_bytes(b"\xff\xfe\x00")
    runs, left_out = find_runs([study])
    assert len(runs) == 6
    reasons = {lost.path.name: lost.reason for lost in left_out}
    assert reasons.pop("b-unfinished") == "not finished"
    assert reasons.pop("b-failed") == "failed: ValueError: task.k=9: must be less"
    assert reasons.pop("b-config").startswith("config.yaml cannot be read")
    assert len(reasons) == 7
    assert all(reason.startswith("summary.json cannot be read") for reason in reasons.values())


def test_a_run_reached_by_two_names_counts_once_and_trials_and_notes_of_a_study_are_no_runs(study):
    shutil.copytree(study / "jigsaw-0", study / ".notes" / "old")
    shutil.copytree(study / "jigsaw-0", study / "tune" / "trial")
    (study / "tune" / "trial" / "trial.json").write_text("{}")
    (study / "link").symlink_to(study / "jigsaw-0")
    runs, left_out = find_runs([study, study / "jigsaw-0"])
    assert (len(runs), left_out) == (6, [])


def test_runs_of_before_have_the_images_of_now_and_labels_count_where_all_say_them(
    tmp_path, write_run
):
    said = [
        {"data_fingerprint": "names"},
        {"data_fingerprint": "content", "former_fingerprint": "names", "labels_fingerprint": "a"},
        {"data_fingerprint": "content", "former_fingerprint": "names", "labels_fingerprint": "b"},
    ]
    for at, more in enumerate(said):
        place = write_run(tmp_path / str(at), linear_top1=40.0) / "summary.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), **more}))
    found, _ = find_runs([tmp_path])
    assert {(run.fingerprint, run.labels) for run in found} == {("content", "")}
    found, _ = find_runs([tmp_path / "1", tmp_path / "2"])
    assert [run.labels for run in found] == ["a", "b"]


def test_rows_over_the_number_of_labels_are_shown_with_those_of_rivals(study):
    run = study / "jigsaw-0"
    row = {"data": "embedded", "metric": "labels10_linear_top1", "low": 40.0, "high": 60.0, "n": 32}
    rows = [{**row, "model": model, "value": 50.0} for model in ("trained", "mobilenetv2_100")]
    (run / LABELS).write_text(json.dumps({"rows": rows}))
    found = compare_runs([study])
    assert "labels10_linear_top1" in found.metrics
    assert any("mobilenetv2_100" in entry.name for entry in found.entries)
    (run / LABELS).write_text('{"rows": [{"model": 3}]}')
    assert "labels10_linear_top1" not in compare_runs([study]).metrics
    assert len(compare_runs([study]).trained) == len(found.trained)
