"""The page and the files beside it: complete, self-contained, harmless, and readable where it will
be read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_patches.cli import main

ATTACK = (
    "<img src=x onerror=document.title='owned'></script><script>document.title='owned'</script>"
)
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def rich(study) -> Path:
    """A study with everything that a page can show, with names that attack it."""
    for run in sorted(study.iterdir()):
        summary = json.loads((run / "summary.json").read_text())
        rows = summary["results"]
        rows += [
            {**rows[0], "metric": f"linear_layer{at}_top1", "value": rows[0]["value"] - 9 + 3 * at}
            for at in (1, 2, 3)
        ]
        rows += [{**rows[0], "metric": f"{ATTACK}_top1"}]
        summary["versions"]["torch"] = ATTACK
        (run / "summary.json").write_text(json.dumps(summary))
        labels = np.arange(40) % 4
        answers = {
            "answers.linear": np.where(labels == 0, 3, labels),
            "answers.knn20": np.ones(3),
            "answers.probe": labels,
        }
        told = json.dumps({"classes": ["ant", ATTACK, "cat"]})
        np.savez(run / "evaluation.npz", labels=labels, told=told, **answers)
        (run / "health.csv").write_text(
            f"step,effective_rank\n1,2.5\n2,{7.5 + summary['seed']}\n3,"
        )
    for name in (f"failed {ATTACK}".replace("/", "_"), "also"):
        (study / name).mkdir()
        (study / name / "error.txt").write_text(f"ValueError: {ATTACK}")
    return study


def page_of(place: Path) -> str:
    assert main(["compare", str(place)]) == 0
    return (place / "report.html").read_text(encoding="utf-8")


def specs_of(page: str) -> dict:
    return json.loads(
        re.search(r'<script type="application/json" id="specs">(.*?)</script>', page, re.DOTALL)[1]
    )


def values_in(node) -> list[dict]:
    """Every row of data in a specification."""
    if isinstance(node, dict):
        own = (
            [row for row in node.get("values", []) if isinstance(row, dict)]
            if isinstance(node.get("values"), list)
            else []
        )
        return own + [
            row for key, value in node.items() if key != "values" for row in values_in(value)
        ]
    return [row for value in node for row in values_in(value)] if isinstance(node, list) else []


def test_the_page_holds_everything_and_loads_nothing(rich, capsys):
    page = page_of(rich)
    said = capsys.readouterr()
    assert (
        "masked is better than jigsaw by 10.0 [7.7, 12.3] points, p < 0.001 (Holm), n = 3"
        in said.out
    )
    assert (
        "masked is better than jigsaw by 10.0 [7.7, 12.3] points, p &lt; 0.001 (Holm), n = 3"
        in page
    )
    assert len(page.encode()) < 5_000_000
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'<[^>]*\b(src|href)=(?!"#|"data:)', markup)
    assert "default-src 'none'" in markup
    assert set(specs_of(page)) == {"results", "pareto", "curves", "layers", "classes", "health"}
    assert "ValueError: &lt;img" in page


def test_nothing_that_a_user_named_becomes_markup(rich):
    page = page_of(rich)
    assert "<img src=x" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "\\u003cimg src=x" in page, "the attack has to be there for its escape to mean anything"


def test_the_charts_show_what_the_runs_hold(rich):
    specs = specs_of(page_of(rich))
    layers = {(row["entry"], row["layer"]): row["mean"] for row in values_in(specs["layers"])}
    assert layers["masked", 1] == 35.0
    classes = {(row["entry"], row["class"]): row["right"] for row in values_in(specs["classes"])}
    names = ["ant", ATTACK, "cat", "class 3"]  # the last has no name
    assert classes == {
        (task, name): 100.0 * (at > 0)
        for task in ("jigsaw", "masked")
        for at, name in enumerate(names)
    }
    ranks = {
        (row["entry"], row["seed"]): row["last"]
        for row in values_in(specs["health"])
        if row["measure"] == "effective_rank"
    }
    assert ranks["jigsaw", 2] == 9.5
    priced = {
        row["entry"]: row
        for row in values_in(specs["pareto"])
        if row.get("cost") == "TFLOP" and row["metric"] == "linear_top1"
    }
    assert (priced["masked"]["spent"], priced["masked"]["front"], priced["jigsaw"]["front"]) == (
        1.0,
        "yes",
        "no",
    )


def test_the_same_runs_give_the_same_page(study):
    assert page_of(study) == page_of(study)


def test_a_run_shows_the_words_that_made_it_and_an_older_one_says_that_they_are_not_known(study):
    summary = json.loads((study / "masked-0" / "summary.json").read_text())
    (study / "masked-0" / "summary.json").write_text(
        json.dumps({**summary, "words": ["task=masked", "seed=0", "run_dir=study/masked-0"]})
    )
    page = page_of(study)
    assert page.count("<pre>ssl-patches pretrain task=masked seed=0</pre>") == 1
    assert page.count("not stored with this run") == 5


def browse(page: Path, *words: str) -> str:
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=10000",
        *words,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const names = () => [...board.tBodies[0].rows].filter(row => !row.hidden)
    .map(row => row.cells[0].textContent);
  const click = at => board.tHead.rows[0].cells[at].querySelector("button").click();
  const marks = "svg .mark-symbol path, svg .mark-line path";
  const charts = [...document.querySelectorAll(".chart")]
    .map(chart => chart.querySelectorAll(marks).length);
  const found = {begin: names(), title: document.title, errors: window.failures, charts};
  click(2); found.down = names(); click(2); found.up = names(); click(0); found.byName = names();
  const filter = document.getElementById('filter');
  filter.value = "MASK"; filter.dispatchEvent(new Event("input")); found.filtered = names();
  const out = document.createElement("pre");
  out.id = "found"; out.textContent = JSON.stringify(found); document.body.append(out);
}, 3000));
</script>"""
WATCH = (
    "<script>window.failures = []; addEventListener('error', event =>"
    " failures.push(event.message));</script>"
)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
def test_in_a_browser_it_draws_sorts_filters_and_fits_a_phone(rich, tmp_path):
    before, _, after = (
        page_of(rich).replace("<title>", f"{WATCH}<title>", 1).rpartition("</body>")
    )  # Vega's text has some too
    (tmp_path / "page.html").write_text(f"{before}{PROBE}</body>{after}")
    found = json.loads(
        re.search(r'<pre id="found">(.*?)</pre>', browse(tmp_path / "page.html", "--dump-dom"))[
            1
        ].replace("&gt;", ">")
    )
    assert found["errors"] == []
    assert found["title"].startswith("Pretext tasks compared"), (
        "a name of the user's ran as a script"
    )
    assert len(found["charts"]) == 6
    assert min(found["charts"]) > 0
    assert found["begin"] == found["down"] == ["masked", "jigsaw", "raw_pixels", "random_init"]
    assert found["up"] == found["begin"][::-1]
    assert found["byName"] == ["jigsaw", "masked", "random_init", "raw_pixels"]
    assert found["filtered"] == ["masked"]
    # the narrowest window that headless Chromium opens is wider than a phone; a frame is not
    (tmp_path / "phone.html").write_text(
        '<body style="margin:0"><iframe src="page.html"'
        ' style="width:390px;height:3000px;border:0"></iframe><script>setTimeout(() => {'
        " document.title = frames[0].document.documentElement.scrollWidth; }, 6000)</script>"
    )
    dom = browse(tmp_path / "phone.html", "--dump-dom", "--allow-file-access-from-files")
    assert int(re.search(r"<title>(\d+)</title>", dom)[1]) <= 390
    for name, words in {"light": (), "dark": ("--blink-settings=preferredColorScheme=0",)}.items():
        browse(
            tmp_path / "page.html",
            f"--screenshot={tmp_path / name}.png",
            "--window-size=900,1200",
            *words,
        )
    light, dark = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).mean()
        for name in ("light", "dark")
    )
    assert light > 200
    assert dark < 80
