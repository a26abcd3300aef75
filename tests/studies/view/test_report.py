"""The comparison on the page of a study: nothing is written, and it is as new as the runs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from ssl_patches.studies.view import report as module
from ssl_patches.studies.view.found import find_shown
from ssl_patches.studies.view.report import Compared


def test_the_report_is_made_without_writing_and_once(study, monkeypatch):
    """The page itself is made for real in test_site.py: its charts take seconds to load."""
    drawn = SimpleNamespace(page=lambda comparison: f"page of {len(comparison.runs)} runs")
    monkeypatch.setitem(sys.modules, "ssl_patches.studies.compare.report.page", drawn)
    before = sorted(study.rglob("*"))
    report = Compared(find_shown(study))
    assert "/key/report" in report.html("/key/")
    page = report.page()
    assert page == "page of 6 runs"
    assert sorted(study.rglob("*")) == before
    monkeypatch.setattr(module, "compare_runs", lambda *_, **__: 1 / 0)
    assert report.page() is page


def test_a_run_that_finishes_is_in_it(study, write_run):
    name = sorted(study.iterdir())[0]
    summary = (name / "summary.json").read_bytes()
    (name / "summary.json").unlink()
    report = Compared(find_shown(study))
    before = report.html("/")
    assert report.html("/") == before
    (name / "summary.json").write_bytes(summary)
    assert report.html("/") != before


def test_without_its_libraries_the_table_says_which_to_install(study, monkeypatch):
    monkeypatch.setattr(module, "can_draw", lambda: False)
    part = Compared(find_shown(study)).html("/key/")
    assert "pip install &#x27;ssl-patches[report]&#x27;" in part
    assert "masked" in part
    assert "/key/report" not in part


def test_where_no_run_is_finished_the_page_says_so(study):
    for run in study.iterdir():
        (run / "summary.json").unlink()
    assert "no finished run below" in Compared(find_shown(study)).html("/key/")
