"""What a finished run leaves: a summary with versions, the words that were typed, its budget."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from small import SMALL

from ssl_patches.training import finish
from ssl_patches.training.finish import _note_unreadable, versions


def test_the_summary_keeps_what_was_typed_and_used(finished_run) -> None:
    summary = json.loads((finished_run / "summary.json").read_text())
    assert summary["words"] == [*SMALL, f"run_dir={finished_run}"]
    assert summary["budget_used"]["images"] == 64
    assert summary["versions"] == versions()


@pytest.mark.parametrize(
    ("word", "missing"),
    [
        ("export=none", "export=none: there is no encoder/"),
        ("evaluation=none", "evaluation=none: there are no results and no floors"),
    ],
)
def test_what_is_left_out_is_not_done_and_said(
    only_training, tmp_path, capsys, monkeypatch, word, missing
):
    monkeypatch.setattr(finish, "evaluate_run", None)
    if word == "export=none":
        monkeypatch.setattr(finish, "export_encoder", None)
    run = only_training(tmp_path / "run", word)
    said = "".join(capsys.readouterr())
    assert missing in said
    summary = json.loads((run / "summary.json").read_text())
    assert summary["results"] == []
    assert (summary["export"] is None) == (word == "export=none")
    assert ("encoder   none" in said) == (word == "export=none")


def test_versions_are_of_what_influences_results() -> None:
    assert set(versions()) == {
        "python",
        "ssl_patches",
        "torch",
        "torchvision",
        "lightning",
        "timm",
    }


def test_unreadable_files_are_listed(tmp_path) -> None:
    said: list[str] = []
    _note_unreadable(tmp_path, SimpleNamespace(unreadable=lambda: [("a.png", "cut")]), said.append)
    assert (tmp_path / "unreadable.csv").read_text() == "path,reason\na.png,cut\n"
    assert said[0].startswith("1 files could not be read")
