"""A task in a user's own file trains, exports and is evaluated like those that are shipped: the
README's own example."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import REPOSITORY, SMALL

from ssl_patches.cli import main
from ssl_patches.config.files import options

EXAMPLE = REPOSITORY / "experiments" / "extension"
CONF = str(EXAMPLE / "conf")


@pytest.fixture
def my_tasks(monkeypatch):
    """What PYTHONPATH=experiments/extension does."""
    monkeypatch.syspath_prepend(EXAMPLE)
    import my_tasks

    yield my_tasks
    del sys.modules["my_tasks"]


def test_the_example_trains_exports_and_is_evaluated(my_tasks, tmp_path):
    run_dir = tmp_path / "run"
    assert (
        main(
            [
                "pretrain",
                "--config-dir",
                CONF,
                "task=rotation",
                *SMALL,
                "task.hidden=32",
                f"run_dir={run_dir}",
            ]
        )
        == 0
    )
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["task"] == "rotation"
    assert {row["model"] for row in summary["results"]} == {"trained", "random_init", "raw_pixels"}
    with (run_dir / "metrics.csv").open() as file:
        assert {row["chance"] for row in csv.DictReader(file)} == {"0.25"}
    assert summary["export"]["largest_relative_difference"] <= 1e-5


def test_its_knobs_are_checked_like_ours(my_tasks, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word, message in (
        ("task.hiden=3", "did you mean 'task.hidden'?"),
        ("task.smoothing=2", "set task.smoothing=0.1"),
    ):
        assert main(["pretrain", "--config-dir", CONF, "task=rotation", *SMALL, word]) == 2
        assert message in capsys.readouterr().err


def test_without_its_folder_on_the_path_it_is_said_what_is_missing(capsys):
    assert main(["pretrain", "--config-dir", CONF, "task=rotation"]) == 2
    assert (
        "task._target_=my_tasks.Rotation: no module 'my_tasks' is installed"
        in capsys.readouterr().err
    )


def test_it_is_listed_beside_ours(capsys):
    assert main(["list", "tasks", "--config-dir", CONF]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == sorted([*(f"task={name}" for name in options("task")), "task=rotation"])
    assert main(["list", "tasks"]) == 0
    assert "rotation" not in capsys.readouterr().out


def test_it_stays_as_short_as_promised():
    lines = [
        line
        for line in (EXAMPLE / "my_tasks.py").read_text().splitlines()
        if line and not line.startswith(("from", "import", '"""'))
    ]
    assert len(lines) <= 45
    assert len((EXAMPLE / "conf" / "task" / "rotation.yaml").read_text().splitlines()) <= 5


def test_the_readme_shows_the_command_that_is_tested():
    shown = re.findall(
        r"^(?:PYTHONPATH=(\S+) )?ssl-patches (.*)$",
        (EXAMPLE / "README.md").read_text(),
        flags=re.MULTILINE,
    )
    folder = str(EXAMPLE.relative_to(REPOSITORY))
    assert shown == [
        (folder, f"pretrain --config-dir {folder}/conf task=rotation"),
        ("", f"list tasks --config-dir {folder}/conf"),
    ]
    assert Path(REPOSITORY / folder / "conf" / "task" / "rotation.yaml").is_file()


@settings(max_examples=20)
@given(turns=st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_each_tile_is_turned_by_its_own_quarters_and_no_pixel_changes(turns):
    sys.path.insert(0, str(EXAMPLE))
    try:
        from my_tasks import rotated
    finally:
        sys.path.remove(str(EXAMPLE))
    tiles = torch.arange(6 * 2 * 4 * 4.0).view(2, 3, 2, 4, 4)
    found = rotated(tiles, torch.tensor(turns).view(2, 3))
    for at, quarters in enumerate(turns):
        assert found[at // 3, at % 3].equal(tiles[at // 3, at % 3].rot90(quarters, (-2, -1)))
