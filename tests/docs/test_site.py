"""The site builds without a warning, and the figure in it can be drawn again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from small import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]


def build(source: Path, out: Path) -> subprocess.CompletedProcess:
    """What `make docs` runs."""
    words = ["--fail-on-warning", "--keep-going", "--quiet", "-c", str(DOCS), str(source), str(out)]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, timeout=900
    )


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_shows_the_settings(tmp_path):
    done = build(DOCS, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    settings = (tmp_path / "settings.html").read_text(encoding="utf-8")
    assert "task.mask_ratio" in settings
    assert "all settings --&gt;" not in settings


@pytest.mark.slow
def test_a_link_to_nowhere_fails_the_build(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "index.md").write_text("# A page\n\n[nowhere](gone.md)\n", encoding="utf-8")
    done = build(tmp_path / "in", tmp_path / "out")
    assert done.returncode != 0
    assert "gone.md" in done.stderr


@pytest.mark.slow
def test_the_figure_is_drawn_by_its_script():
    sys.path.insert(0, str(DOCS / "figures"))
    try:
        import how_it_works
    finally:
        sys.path.remove(str(DOCS / "figures"))
    tasks = {place.stem for place in (REPOSITORY / "conf" / "task").glob("*.yaml")}
    assert set(how_it_works.QUESTIONS) == tasks
    for name, theme in how_it_works.THEMES.items():
        assert len(how_it_works.draw(theme).axes) == 3 + len(tasks)
        assert (DOCS / "figures" / f"how_it_works-{name}.png").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(
        r'(?:src|srcset)="([^":]+)"', text
    )
    if page.parent == DOCS:  # the site has its own pages only; others are named as code
        assert [target for target in targets if not (DOCS / target).resolve().is_file()] == []
        assert [target for target in targets if DOCS not in (DOCS / target).resolve().parents] == []
    targets += re.findall(r"^```\{(?:image|literalinclude)\} (\S+)", text, flags=re.MULTILINE)
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_in_the_repository_is_there(page):
    """Paths in code: ``experiments/first_light``, ``conf/task/...``; NAME stands for any."""
    named = re.findall(
        r"`((?:experiments|conf|ssl_patches|docs)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    missing = [path for path in named if not (REPOSITORY / path).exists()]
    assert [path for path in missing if "NAME" not in path] == []


def test_the_readme_is_short_enough_to_be_read():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
