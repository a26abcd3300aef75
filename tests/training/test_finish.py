"""What a finished run leaves: a summary with versions, the words that were typed, its budget."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small import SMALL

from ssl_patches.cli import main
from ssl_patches.config.run_dir import SUMMARY
from ssl_patches.data import FolderSource
from ssl_patches.data.cache import CachedSource
from ssl_patches.training import finish
from ssl_patches.training.finish import _note_changed, _note_unreadable, versions


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


def test_damage_among_held_out_images_costs_a_picture_and_not_the_encoder(tmp_path) -> None:
    class Damaged:
        reads_apart = False

        def __len__(self) -> int:
            return 3

        def __getitem__(self, at: int):
            raise ValueError("data.max_corrupt=0.01: 1 of 3 images cannot be read")

    said: list[str] = []
    data = SimpleNamespace(val=Damaged())
    finish._draw({}, tmp_path, SimpleNamespace(), data, 64, said.append)
    assert said == ["no picture of the task: data.max_corrupt=0.01: 1 of 3 images cannot be read"]


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


def test_files_that_changed_while_the_run_went_on_are_counted(tmp_path) -> None:
    for at in range(3):
        Image.fromarray(np.full((40, 40, 3), at, np.uint8)).save(tmp_path / f"{at}.png")
    train = FolderSource(root=str(tmp_path), split="train", image_size=32)
    said: list[str] = []
    assert _note_changed(train, time.time() + 1, said.append) == 0
    assert said == []
    assert _note_changed(train, time.time() - 9, said.append) == len(train)
    assert said[0].startswith(f"{len(train)} files of the training images changed while")
    cached = CachedSource(train, identity="", place=tmp_path / "cache")
    assert _note_changed(cached, time.time() - 9, said.append) == 0  # read from the cache


PHASES: dict[str, Callable[[Path], bool]] = {
    "figures": lambda run: (run / "figures").is_dir(),
    "export": lambda run: any(run.glob(".encoder.*.tmp")),
    "evaluation": lambda run: (run / "encoder").is_dir(),
}
"""How one sees from outside that a part of the end of a run has begun."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_at_the_end_of_a_run_costs_nothing(phase, seed, finished_run, tmp_path) -> None:
    """kill -9 at a random moment of figures, export or evaluation; what is resumed is bit-equal."""
    run = tmp_path / "run"
    words = ["pretrain", *SMALL, f"run_dir={run}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_patches", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not PHASES[phase](run):
            assert process.poll() is None, "it ended before the phase was seen"
            time.sleep(0.002)
        time.sleep(random.Random(f"{phase}{seed}").uniform(0, 0.5))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started too, as a machine that goes
        process.wait()
    assert not (run / SUMMARY).exists(), "the kill came too late to say anything"
    assert main([*words, "resume=true"]) == 0
    assert [place.name for place in run.iterdir() if place.name.startswith(".")] == []
    wanted, found = (json.loads((place / SUMMARY).read_text()) for place in (finished_run, run))
    same = ("results", "budget_used", "export", "data_fingerprint", "protocol")
    wanted["budget_used"].pop("seconds")
    found["budget_used"].pop("seconds")
    named = json.loads(json.dumps(wanted).replace(finished_run.name, run.name))
    assert {key: found[key] for key in same} == {key: named[key] for key in same}
    weights = Path("encoder") / "model.safetensors"
    assert (run / weights).read_bytes() == (finished_run / weights).read_bytes()
    with np.load(run / "evaluation.npz") as one, np.load(finished_run / "evaluation.npz") as other:
        assert one.files == other.files
        assert all(np.array_equal(one[name], other[name]) for name in one.files)
