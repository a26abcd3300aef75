"""What is served: looked up in what was found, and no file by its path."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from ssl_patches.studies.view.site import STATIC, Reply, Site

CHROMIUM = shutil.which("chromium")


def points_of(browser, run: int = 0) -> dict:
    """Ask until the map is there, as the page does."""
    for _ in range(600):
        _, _, content = browser.ask(f"run/{run}/points")
        if (found := json.loads(content))["state"] in ("done", "failed"):
            return found
        assert found["doing"]
        time.sleep(0.05)
    raise AssertionError("no map")


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def test_a_run_is_seen_whole_and_nothing_of_it_is_touched(run, browse):
    """Pages, pictures, map, neighbours, a dropped image; no other address in any of them."""
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    seen = {}
    with browse(run) as browser:
        found = points_of(browser)
        assert len(found["places"]) == 2 * len(found["names"]) == 60
        assert {one["title"] for one in found["by"]} >= {"class", "cluster"}
        assert "30 of" in found["notes"][0]
        for path in ("", "run/0/", "run/0/map", "run/0/figures/health", *STATIC):
            seen[path] = browser.ask(path)
        seen["thumb"] = browser.ask("run/0/thumb/29")
        seen["near"] = browser.ask("run/0/near/3")
        dropped = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
        seen["drop"] = browser.ask("run/0/near", png(dropped))
        status, _, told = browser.ask("run/0/near", b"no image")
    assert (status, json.loads(told)["error"]) == (422, "the image: cannot identify image file")
    assert {path: answer[0] for path, answer in seen.items()} == dict.fromkeys(seen, 200)
    for _, headers, content in seen.values():
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        if not headers["Content-Type"].startswith("image/"):
            assert not re.search(rb"https?://", content.replace(browser.address.encode(), b""))
    assert len(json.loads(seen["near"][2])["which"]) == 12
    assert json.loads(seen["drop"][2])["place"] in range(30)
    assert Image.open(io.BytesIO(seen["thumb"][2])).format == "WEBP"
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "path",
    [
        "../run/config.yaml",
        "run/0/../../config.yaml",
        "run/0/figures/../config.yaml",
        "run/0/figures/..%2Fconfig.yaml",
        "run/0/figures/%2Fetc%2Fpasswd",
        "run/0/figures/health.png",
        "run/0/config.yaml",
        "run/1/",
        "run/-1/",
        "run/00/",
        "run/0",
        "run/0/thumb/99",
        "run/0/thumb/-1",
        "run/0/thumb/²",
        "run/0/near/1e3",
        "report",
        "page.css/",
        "..%2f..%2fpyproject.toml",
        "view.py",
    ],
)
def test_what_was_not_found_at_the_start_has_no_address(path, run, browse):
    with browse(run) as browser:
        points_of(browser)
        status, _, content = browser.ask(path.replace("²", "%C2%B2"))
    assert status == 404
    assert b"task" not in content


def test_a_map_that_cannot_be_made_says_why_and_the_rest_is_shown(run, tmp_path, browse):
    with browse(run, "data=folder", f"data.root={tmp_path / 'gone'}") as browser:
        found = points_of(browser)
        assert found["state"] == "failed"
        assert "data.root" in found["error"]
        assert browser.ask("run/0/near", b"x")[0] == 409
        assert browser.ask("")[0] == 200


def test_a_study_has_its_report_and_a_page_of_each_run(study, browse):
    with browse(study) as browser:
        status, _, front = browser.ask()
        pages = [browser.ask(f"run/{number}/")[0] for number in range(7)]
        report = browser.ask("report")
    assert (status, pages, report[0]) == (200, [200] * 6 + [404], 200)
    assert front.count(b"<article>") == 6
    assert b'content="ssl-patches compare"' in report[2]
    policy = report[1]["Content-Security-Policy"]
    assert "default-src 'none'" in policy  # what it holds may load nothing from anywhere
    assert "sandbox" in policy


PROBE = b"""<script>
setTimeout(() => { if (window.choose) choose(3); }, 2500);
setTimeout(() => {
  const canvas = document.getElementById("canvas"), pen = canvas && canvas.getContext("2d");
  const ink = pen && pen.getImageData(0, 0, canvas.width, canvas.height).data;
  const count = all => document.querySelectorAll(all).length;
  document.title = JSON.stringify({
    failed: window.failed, wide: document.documentElement.scrollWidth, seen: innerWidth,
    colours: count("#legend button"), near: count("#nearest button"), ink: new Set(ink || []).size,
  });
}, 5000);
</script>"""
WATCH = b"""<script>
window.failed = []; addEventListener("error", event => failed.push(event.message));
</script>"""
FRAME = """<body style="margin:0"><title>-</title>
<iframe src="{address}" style="width:{width}px;height:1400px;border:0"></iframe>
<script>setTimeout(() => {{ document.title = frames[0].document.title; }}, 7000);</script>"""


class Probed(Site):
    """A site whose pages tell how wide they are, and what became of the map.

    "frame/WIDTH/..." shows a page as wide as a phone: no window of headless Chromium is so narrow.
    """

    def get(self, parts):
        if parts[0] == "frame":
            address = self.root + "/".join(parts[2:])
            frame = FRAME.format(address=address, width=parts[1])
            return Reply(200, "text/html", frame.encode(), "")
        answer = super().get(parts)
        if not answer.kind.startswith("text/html"):
            return answer
        content = answer.body.replace(b"<title>", WATCH + b"<title>", 1) + PROBE
        return Reply(answer.status, answer.kind, content, "")


def chromium(address: str, *words: str) -> str:
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,1400"]
    command += ["--virtual-time-budget=9000", *words, address]
    return subprocess.run(command, check=True, timeout=300, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
def test_in_a_browser_the_map_is_drawn_and_pages_fit_a_phone(run, browse, tmp_path):
    with browse(run, site=Probed) as browser:
        points_of(browser)
        for width in (390, 1280):
            frame, told = f"{browser.address}frame/{width}/", {}
            for page in ("", "run/0/map"):
                dom = chromium(frame + page, "--dump-dom")
                told = json.loads(re.search(r"<title>(\{.*?\})</title>", dom)[1])
                assert told["failed"] == []
                assert told["wide"] <= told["seen"] == width
            assert told["colours"] >= 2
            assert told["near"] == 12
            assert told["ink"] > 20
            chromium(frame + "run/0/map", f"--screenshot={tmp_path / 'map.png'}")
            with Image.open(tmp_path / "map.png") as picture:
                assert len(picture.convert("RGB").getcolors(2**24)) > 100
