"""A package that adds to ours is installed without a network, found, checked, trained, evaluated,
and trusted only then."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import REPOSITORY, SMALL

from ssl_patches.cli import main
from ssl_patches.config import files as conf_files
from ssl_patches.config.files import trusted
from ssl_patches.evaluation import PROTOCOL, Record

EXAMPLE = REPOSITORY / "experiments" / "plugin_example"
ROLES = REPOSITORY / "experiments" / "patch_roles"
TINY = [word for word in SMALL if not word.startswith("encoder.")] + [
    "encoder.depth=2",
    "encoder.dim=48",
    "callbacks=none",
]
PROGRAM = """
import sys
from ssl_patches.cli import main
run = sys.argv[1]
assert main(["list", "tasks"]) == 0
assert main(["list", "probes"]) == 0
words = ["task=counting", "encoder=vit_registers", *sys.argv[2:], f"run_dir={run}"]
assert main(["pretrain", *words]) == 0
words = [f"model={run}", "probes=[knn,roles]", "train_images=32", "test_images=16"]
assert main(["evaluate", *words, "output=rows.npz", "figures=drawn"]) == 0
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH with both packages in it, as pip installs them."""
    folder = tmp_path_factory.mktemp("site")
    offline = [
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--quiet",
    ]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", folder, EXAMPLE, ROLES]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def run(site, tmp_path_factory) -> Path:
    """A run of the example's task on its encoder, in a process of its own, and what that said."""
    place = tmp_path_factory.mktemp("plugin")
    command = [sys.executable, "-c", PROGRAM, str(place / "run"), *TINY]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    (place / "said").write_text(done.stdout, encoding="utf-8")
    return place / "run"


@pytest.mark.slow  # pip installs two packages, and a process trains
def test_it_is_listed_with_its_package(run):
    lines = (run.parent / "said").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("task=counting")]
    assert line.endswith("[patch-counting 0.1.0]")
    assert all(
        not line.endswith("]")
        for line in lines
        if line.startswith("task=") and "counting" not in line
    )


@pytest.mark.slow  # pip installs two packages, and a process trains
def test_it_trains_is_exported_and_evaluated_like_ours(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["task"] == "counting"
    assert {row["model"] for row in summary["results"]} == {"trained", "random_init", "raw_pixels"}
    assert summary["export"]["largest_relative_difference"] <= 1e-5
    assert "knn5_top1" in (run.parent / "said").read_text().partition("load it")[2]


@pytest.mark.slow  # pip installs two packages, and a process trains
def test_a_probe_of_a_package_is_named_like_ours_and_its_numbers_are_stored(run):
    said = (run.parent / "said").read_text()
    assert re.search(r"^probes=\[roles\] .*\[patch-roles 0.1.0\]$", said, flags=re.MULTILINE)
    record = Record.load(run.parent / "rows.npz")
    models = {row.model for row in record.rows if row.metric == "relation_top1"}
    assert models == {"trained", "random_init"}
    assert json.loads(json.dumps(PROTOCOL["roles"])) == record.protocol["roles"]
    drawn = {path.name for path in (run.parent / "drawn").iterdir()}
    assert drawn == {"tiles.png", "sizes.png", "invariance.png", "attention.png"}


@pytest.mark.slow  # twenty seconds
@pytest.mark.slow  # pip installs two packages, and a process trains
def test_their_own_tests_pass_where_they_are_installed(site, tmp_path):
    command = [sys.executable, "-m", "pytest", str(EXAMPLE / "tests"), str(ROLES / "tests")]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stdout
    assert "27 passed" in done.stdout


@pytest.mark.slow  # pip installs two packages, and a process trains
def test_its_classes_are_trusted_for_its_entry_point_not_for_being_importable(
    run, site, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "bare"
    shutil.copytree(site / "patch_counting", bare / "patch_counting")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(bare)
        assert (
            main(["evaluate", f"model={run}", "probes=[knn]", "train_images=32", "test_images=16"])
            == 2
        )
        assert (
            "patch_counting.vit_registers: is not among what a configuration from elsewhere"
            in capsys.readouterr().err
        )
        assert "patch_counting" not in sys.modules
    with monkeypatch.context() as patch:
        patch.syspath_prepend(site)
        assert trusted("encoder") == ("ssl_patches.encoders.create", "patch_counting.vit_registers")
    assert trusted("encoder") == ("ssl_patches.encoders.create",)


@pytest.mark.slow  # pip installs two packages, and a process trains
def test_a_package_whose_folder_is_missing_is_named(site, tmp_path, monkeypatch, capsys):
    shutil.copytree(
        next(site.glob("patch_counting*.dist-info")), tmp_path / "patch_counting-0.1.0.dist-info"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["list", "tasks"]) == 2
    assert capsys.readouterr().err.startswith(
        "patch-counting 0.1.0: names patch_counting.conf in its entry points"
    )


@pytest.mark.slow  # pip installs two packages, and a process trains
def test_of_two_that_have_a_name_it_is_said_which_one_counts(site, tmp_path, monkeypatch, capsys):
    (tmp_path / "task").mkdir()
    for name in ("counting", "jigsaw"):
        (tmp_path / "task" / f"{name}.yaml").write_text(
            "# My own task of that name.\n_target_: mine.Task\n"
        )
    monkeypatch.syspath_prepend(site)
    assert conf_files.origins("task", config_dirs=[tmp_path]) == {
        "counting": f"{tmp_path}, hides that of patch-counting 0.1.0",
        "jigsaw": f"{tmp_path}, hides that of ssl-patches",
    }
    assert conf_files.origins("sampler") == {"quarters": "patch-counting 0.1.0"}


def test_the_readme_shows_the_commands_that_are_tested():
    shown = re.findall(
        r"^(?:pip|ssl-patches) .*$",
        (EXAMPLE / "README.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert shown == [
        "pip install experiments/plugin_example",
        "ssl-patches list tasks",
        "ssl-patches pretrain task=counting encoder=vit_registers",
    ]
