"""A folder is a run where its settings, study or checkpoint say so; strange names are told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from small import REPOSITORY

from ssl_patches.config.ownership import is_run, refuse_what_no_run_wrote, strange
from ssl_patches.config.pictures import save_picture

BEFORE = REPOSITORY / "tests" / "fixtures" / "before_move"


def test_what_runs_wrote_until_today_is_a_run_and_nothing_in_it_is_strange():
    runs = [BEFORE / "run", *sorted((BEFORE / "study" / "out" / "cells").iterdir())]
    assert [run.name for run in runs if not is_run(run) or strange(run)] == []


@pytest.mark.parametrize(
    ("name", "text", "ours"),
    [
        ("config.yaml", "seed: 1\nmodel: resnet\n", False),
        ("config.yaml", "seed: 1\nimage_size: 32\nbudget: {}\ndata: {}\nencoder: {}\n", True),
        ("config.yaml", "seed: 1\nimage_size: 32\nbudget: 1\ndata: 2\nencoder: 3\ntask: 4\n", True),
        ("config.yaml", "seed: 1\nimage_size: 32\nbudget: {}\ndata: {}\n", False),
        ("cell.json", json.dumps({"study": "a", "key": "0"}), True),
        ("cell.json", json.dumps({"study": "a", "key": "0", "label": "b"}), True),
        ("cell.json", json.dumps({"study": "a"}), False),
        ("cell.json", json.dumps(["study", "key"]), False),
        ("cell.json", json.dumps({"cells": []}), False),
        ("cell.json", "[", False),
        ("error.txt", "failed", False),
        ("summary.json", "{}", False),
    ],
)
def test_a_name_that_other_programs_use_too_is_no_mark(name, text, ours, tmp_path):
    (tmp_path / name).write_text(text)
    assert is_run(tmp_path) is ours


@pytest.mark.parametrize(
    ("names", "said"), [("a", "a, which"), ("ab", "a and 1 more, w"), ("bacde", "a and 4 more, w")]
)
def test_the_first_strange_name_is_told_and_how_many_more(names, said, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_text("")
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"holds {said}"):
        refuse_what_no_run_wrote(tmp_path, "runs remove")


@pytest.mark.parametrize("where", ["", "checkpoints", "encoder", "figures"])
@pytest.mark.parametrize("name", ["notes.txt", "mine.png", "step-best.ckpt", "labels", ".env"])
def test_a_file_of_somebody_in_any_folder_of_a_run_keeps_all_of_it(where, name, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(BEFORE / "run", run)
    shutil.copytree(BEFORE / "export", run / "encoder")
    refuse_what_no_run_wrote(run, "runs remove")
    (run / where).mkdir(exist_ok=True)
    (run / where / name).write_text("mine")
    with pytest.raises(ValueError, match=re.escape(str(Path(where) / name))):
        refuse_what_no_run_wrote(run, "runs remove")


def test_figures_are_the_runs_own_by_their_mark_or_by_names_of_before_there_was_one(tmp_path):
    (tmp_path / "figures").mkdir()
    save_picture(Figure(figsize=(0.1, 0.1)), tmp_path / "figures" / "a_plugins_task.png")
    (tmp_path / "figures" / "jigsaw.png").write_text("of before")
    assert strange(tmp_path) == []


@pytest.mark.parametrize(
    ("inside", "ours"), [({"origin": {"data_fingerprint": "1"}}, True), ({"state_dict": {}}, False)]
)
def test_a_checkpoint_of_lightning_makes_no_run_of_ours(inside, ours, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save(inside, tmp_path / "checkpoints" / "last.ckpt")
    (tmp_path / "config.yaml").write_text("seed_everything: true\ntrainer: {}\n")
    assert is_run(tmp_path) is ours


def test_a_damaged_run_is_known_by_its_checkpoint(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_text("torn")
    (tmp_path / "config.yaml").write_text("")
    refuse_what_no_run_wrote(tmp_path, "runs remove")
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "b.png").write_text("mine")
    with pytest.raises(ValueError, match=r"^runs remove: .* holds a\.png and 1 more, which no run"):
        refuse_what_no_run_wrote(tmp_path, "runs remove")
