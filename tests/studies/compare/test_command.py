"""The command ``compare``: which files it writes, which it leaves alone, how it fails."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ssl_patches.cli import main
from ssl_patches.studies.compare.command import runs_of_study


def test_files_are_written_where_they_belong_and_nobody_elses_is_replaced(study, tmp_path, capsys):
    (study / "report.html").write_text("<p>my own page")
    (study / "results.csv").write_text("my,own\n")
    assert main(["compare", str(study)]) == 0
    said = capsys.readouterr().err
    assert (study / "report.html").read_text() == "<p>my own page"
    assert (study / "results.csv").read_text() == "my,own\n"
    assert said.count("is not one of ours and stays as it is") == 2
    assert (
        main(
            [
                "compare",
                str(study),
                "--report",
                str(tmp_path / "mine.html"),
                "--csv",
                str(tmp_path / "mine.csv"),
            ]
        )
        == 0
    )
    rows = list(csv.DictReader((tmp_path / "mine.csv").open()))
    assert {(row["entry"], row["seed"], row["model"]) for row in rows} >= {
        ("masked", "2", "trained"),
        ("random_init", "0", "random_init"),
    }
    assert (tmp_path / "mine.html").stat().st_size > 500_000


def test_a_script_gets_no_files_that_it_did_not_ask_for(study, capsys):
    for flag in ("--json", "--markdown"):
        assert main(["compare", str(study), flag]) == 0
    assert not list(study.glob("re*"))
    assert main(["compare", str(study / "jigsaw-0")]) == 0
    assert not list((study / "jigsaw-0").glob("re*"))


def test_a_disk_that_is_full_fails_in_one_line_after_the_table(study, capsys, monkeypatch):
    from ssl_patches.studies.compare import command as compare_command

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compare_command, "write_text", full)
    assert main(["compare", str(study)]) == 1
    said = capsys.readouterr()
    assert "masked is better than jigsaw" in said.out
    assert (
        said.err
        == f"{study / 'results.csv'}: could not be written (No space left on device); give --csv"
        " FILE in another folder\n"
    )
    assert not list(study.glob(".*.half"))


def test_pairs_stand_in_a_file_of_their_own_with_their_evidence(study, capsys):
    assert main(["compare", str(study)]) == 0
    rows = list(csv.DictReader((study / "pairs.csv").open()))
    said = capsys.readouterr().out
    ranked = [row for row in rows if row["metric"] == rows[0]["metric"]]
    assert {row["family"] for row in ranked} == {"tasks", "floors"}
    assert all(row["finding"] in said for row in ranked)
    best = next(row for row in ranked if row["first"] == "masked" and row["second"] == "jigsaw")
    assert (best["better"], best["n_first"]) == ("True", "3")
    assert float(best["low"]) < float(best["ahead"]) < float(best["high"])
    assert float(best["p"]) <= float(best["p_holm"]) < 0.05


def test_a_study_stands_for_its_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "experiments" / "mine"
    mine.mkdir(parents=True)
    (mine / "study.yaml").write_text("axes: {task: [masked]}\n")
    with pytest.raises(ValueError, match=r"is a study, and its runs are not in runs/mine"):
        runs_of_study(mine)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert runs_of_study(mine) == runs_of_study(mine / "study.yaml") == Path("runs/mine")
    assert runs_of_study(tmp_path / "runs") == tmp_path / "runs"
