"""`ssl-patches runs` tells what is in a folder, and removes nothing that it should not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ssl_patches.cli import main
from ssl_patches.config import locks
from ssl_patches.config.run_dir import changed_settings
from ssl_patches.studies import listing
from ssl_patches.studies.run_reader import run_state


@pytest.fixture
def folder(finished_run, tmp_path) -> Path:
    """Six runs: each is the finished one, changed into what it stands for."""
    place = tmp_path / "runs"
    for name in ("done", "going", "failed", "stopped", "crashed", "corrupt"):
        shutil.copytree(finished_run, place / name)
    for name in ("going", "failed", "stopped", "crashed"):
        (place / name / "summary.json").unlink()
    (place / "failed" / "error.txt").write_text("Traceback\nRuntimeError: out of memory\n")
    (place / "corrupt" / "config.yaml").write_text("seed: [")
    with locks.locked(place / "crashed"):
        claim = next((place / locks.FOLDER).glob("crashed.*"))
        said = json.loads(claim.read_text())
    claim.write_text(json.dumps(said | {"pid": 2**22 + 1}))  # no such process: pids end before
    claim = place / locks.FOLDER / "going.1"
    claim.write_text(json.dumps(said))  # this process
    return place


def listed(capsys, *words: object) -> dict[str, dict]:
    assert main(["runs", *map(str, words), "--json"]) == 0
    return {Path(run["run"]).name: run for run in json.loads(capsys.readouterr().out)}


def test_each_state_is_told_with_what_was_used_and_reached(folder, capsys):
    found = listed(capsys, folder)
    assert {name: run["state"] for name, run in found.items()} == {
        "done": "finished",
        "going": "running",
        "failed": "failed",
        "stopped": "stopped",
        "crashed": "crashed",
        "corrupt": "crashed",
    }
    assert found["done"]["metrics"].keys() >= {"knn20_top1", "linear_top1"}
    assert found["done"]["budget_used"]["images"] == 64
    assert found["stopped"]["budget_used"]["images"] == 64  # of metrics.csv
    assert found["failed"]["note"] == "RuntimeError: out of memory"
    assert (found["done"]["task"], found["done"]["seed"], found["done"]["data"]) == (
        "jigsaw",
        "0",
        "embedded",
    )
    assert (found["corrupt"]["task"], found["corrupt"]["note"]) == (
        "?",
        "config.yaml cannot be read",
    )


def test_filters_keep_what_fits_all_of_them(folder, capsys):
    assert set(listed(capsys, "list", folder, "state=finished", "task=jigsaw")) == {"done"}
    assert listed(capsys, folder, "task=masked") == {}
    assert main(["runs", str(folder), "state=failed"]) == 0
    shown = capsys.readouterr().out
    assert "out of memory" in shown
    assert "done" not in shown


def test_diff_shows_what_differs_and_nothing_else(folder, capsys):
    config = folder / "done" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 7", 1))
    assert main(["runs", "diff", str(folder / "done"), str(folder / "stopped"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {"seed": [7, 0]}
    assert found["results"].keys() >= {"knn20_top1", "linear_top1"}
    assert main(["runs", "diff", str(folder / "failed"), str(folder / "stopped")]) == 0
    assert capsys.readouterr().out.count("equal") == 3
    assert changed_settings({"a": 1}, {"a": 1}) == {}


def test_remove_asks_and_removes_the_run_and_its_claims_and_nothing_else(folder, capsys):
    before = set(folder.iterdir())
    assert main(["runs", "remove", str(folder / "crashed")]) == 2
    said = capsys.readouterr().err
    assert "give --yes" in said
    assert "crashed, " in said
    assert set(folder.iterdir()) == before
    assert main(["runs", "remove", str(folder / "crashed"), "--yes"]) == 0
    assert set(folder.iterdir()) == before - {folder / "crashed"}
    assert {file.name for file in (folder / locks.FOLDER).iterdir()} == {"going.1"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("going", "works in it; stop it first"),
        ("done/encoder", "is no run"),
        (".", "is no run"),
        ("nothing", "is no run"),
        ("link", "is no run"),
    ],
)
def test_remove_refuses_what_is_running_or_no_run_and_then_removes_nothing(
    name, said, folder, capsys
):
    (folder / "link").symlink_to(folder / "stopped")
    assert main(["runs", "remove", str(folder / "stopped"), str(folder / name), "--yes"]) == 2
    assert said in capsys.readouterr().err
    assert run_state(folder / "stopped").kind == "stopped"
    assert run_state(folder / "done").kind == "finished"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no such folder"),
        (["list", ".", "stat=failed"], "did you mean 'state'?"),
        (["list", ".", "state=finishd"], "did you mean 'state=finished'?"),
        (["diff", "a"], "takes two runs"),
        (["remove"], "takes runs"),
        (["list", ".", "--yes"], "has no meaning for runs list"),
    ],
)
def test_bad_requests_are_told(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs", *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_holds_no_runs(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no runs\n"
    assert listing.matching([str(tmp_path)]) == []


def test_the_table_shows_the_metrics_that_a_verdict_looks_at(folder, capsys):
    assert main(["runs", str(folder), "state=finished"]) == 0
    head = capsys.readouterr().out.splitlines()[0].split()
    assert [name for name in head if "_top1" in name][:2] == ["linear_top1", "knn20_top1"]
