"""Beside a run lie rows for ``compare`` and a figure; beside other models nothing is written."""

import json

from curves import curve

from ssl_patches.config.run_dir import LABELS
from ssl_patches.evaluation.efficiency.report import FIGURE, leave_report
from ssl_patches.evaluation.probes.label_efficiency import LabelEfficiency


def measured() -> LabelEfficiency:
    probe = LabelEfficiency()
    means = {1: 50.0, 10: 60.0, None: 70.0}
    probe.curves = [curve(model, means) for model in ("trained", "raw_pixels")]
    probe.costs, probe.data = {"trained": (1e12, 60.0)}, "cells"
    return probe


def test_a_run_keeps_rows_and_figure_and_says_what_its_pretraining_cost(tmp_path):
    (tmp_path / "summary.json").write_text('{"budget_used": {"flops": 2e12, "seconds": 120}}')
    lines = leave_report(measured(), tmp_path, figures=None, own=True)
    assert any("pretraining" in line and "2 TFLOP, 2.0 min" in line for line in lines)
    assert (tmp_path / "figures" / FIGURE).is_file()
    found = json.loads((tmp_path / LABELS).read_text())
    assert {row["model"] for row in found["rows"]} == {"trained", "raw_pixels"}
    assert {(row["other"], row["labels"]) for row in found["differences"]} == {
        ("raw_pixels", number) for number in ("1", "10", "all")
    }
    assert found["report"][-1].startswith("Which encoder")


def test_other_images_or_another_model_leave_nothing_beside_it(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    leave_report(measured(), tmp_path, figures=None, own=False)
    leave_report(measured(), tmp_path / "no_run", figures=tmp_path / "drawn", own=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn", "summary.json"]
