"""Hold what is committed free of leftovers and of photographs of data sets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AT_THE_ROOT = {
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "hatch_build.py",
    "pyproject.toml",
}
IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".npz", ".npy"}
# Drawn by the program, or charts. A new one is looked at before its name is written here.
LOOKED_AT = {
    "benchmarks/results/scaling.png",
    "benchmarks/results/step.png",
    "benchmarks/results/time_to_knn.png",
    "docs/figures/how_it_works-dark.png",
    "docs/figures/how_it_works-light.png",
    "experiments/budgets/results/budgets.png",
    "experiments/first_light/figures/imagenette-relative-health.png",
    "experiments/is_it_working/figures/panel.png",
    "experiments/worth_it/results/elpv.png",
}
DRAWN_FOR_TESTS = "tests/fixtures/before_move/"
LARGEST = 1_000_000


@pytest.fixture(scope="module")
def committed() -> list[str]:
    answer = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip("not a git checkout")
    return [name for name in answer.stdout.split("\0") if name and (ROOT / name).exists()]


def test_no_file_was_left_behind_at_the_root(committed: list[str]) -> None:
    extra = {name for name in committed if "/" not in name} - AT_THE_ROOT
    assert not extra, f"{sorted(extra)}: left by a command? Otherwise name it in {__file__}"


def test_images_were_looked_at_before_they_were_committed(committed: list[str]) -> None:
    """Data sets may not be passed on, and figures of runs show photographs of them."""
    images = {name for name in committed if Path(name).suffix.lower() in IMAGES}
    new = {name for name in images if not name.startswith(DRAWN_FOR_TESTS)} - LOOKED_AT
    assert not new, f"{sorted(new)}: a photograph of a data set? Otherwise name it in {__file__}"


def test_no_large_file_is_committed(committed: list[str]) -> None:
    large = [name for name in committed if (ROOT / name).stat().st_size > LARGEST]
    assert not large, f"{large}: above {LARGEST:,} bytes"
