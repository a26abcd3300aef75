"""Pages: what a user named is text, whatever it is, and nothing lies outside."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from ssl_patches.studies.view.found import find_shown
from ssl_patches.studies.view.pages import (
    error_page,
    folder_page,
    html_text,
    map_page,
    run_page,
)

ROOT = "/key/"
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J"


def test_names_of_runs_pictures_and_alarms_are_text(run, tmp_path):
    named = tmp_path / "all" / "<img src=x onerror=alert(1)>"
    shutil.copytree(run, named)
    shutil.copy(named / "figures" / "health.png", named / "figures" / "<script>'\"&.png")
    alarm = {"name": ATTACK, "step": 1, "says": ATTACK, "remedy": ATTACK}
    (named / "alarms.json").write_text(json.dumps([alarm]))
    summary = json.loads((named / "summary.json").read_text())
    summary["results"][0]["metric"] = ATTACK
    (named / "summary.json").write_text(json.dumps({**summary, "words": [f"task={ATTACK}"]}))
    place = find_shown(tmp_path / "all")
    pages = [
        run_page(ROOT, place, 0, map_said=ATTACK),
        folder_page(ROOT, place, ""),
        map_page(ROOT, place, 0, largest_mb=1),
        error_page(ROOT, ATTACK, ATTACK),
    ]
    for page in pages:
        assert "onerror" not in re.sub(r"&lt;.*?&gt;", "", page)
        assert "<script>" not in page
        assert "\x1b" not in page
        sources = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert all(one.startswith(ROOT) or one == "data:," for one in sources)


def test_a_run_shows_results_with_bounds_pictures_alarms_and_the_command(run):
    summary = json.loads((run / "summary.json").read_text())
    words = ["task=jigsaw", f"run_dir={run}"]
    (run / "summary.json").write_text(json.dumps({**summary, "words": words}))
    page = run_page(ROOT, find_shown(run), 0, map_said="")
    assert "40.0 <small>[37.0, 43.0]</small>" in page
    assert page.index("figures/health") < page.index("figures/neighbours")
    assert "ssl-patches pretrain task=jigsaw<" in page
    assert f'href="{ROOT}run/0/map"' in page
    assert "It helped" in page


def test_a_run_that_is_not_finished_shows_what_there_is(run):
    (run / "summary.json").unlink()
    page = run_page(ROOT, find_shown(run), 0, map_said="it has none yet")
    assert "No map: it has none yet" in page
    assert "Results" not in page
    assert "figures/health" in page


@pytest.mark.parametrize("text", ["a<b", 'a"b', "a'b", "a&b"])
def test_text_cannot_end_an_attribute(text):
    assert not set(html_text(text)) & set("<>\"'")
