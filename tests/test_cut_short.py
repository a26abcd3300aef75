"""A process that dies in the middle of an export, an evaluation or the end of a run costs nothing:
the same command then ends in the same bytes, and nothing else is left.

The process is a fork that ends at a chosen place without tidying up, as kill -9 ends one. Kills
from outside, at random moments, are slow tests of ``tests/training/test_finish.py``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import REPOSITORY, SMALL

from ssl_patches.cli import main
from ssl_patches.config.atomic import HALF
from ssl_patches.config.run_dir import SUMMARY

BEFORE = REPOSITORY / "tests" / "fixtures" / "before_move"
DIED = 9
SECONDS = 120  # after which a fork that hangs is ended


def dies_at(place: str, command: list[str], *, after: bool, call: int = 1) -> None:
    """Carry out a command in a fork that ends at a call of ``place``, before or ``after`` it."""
    parts = place.split(".")
    depth = next(at for at in range(len(parts), 0, -1) if find(".".join(parts[:at])))
    owner: Any = importlib.import_module(".".join(parts[:depth]))
    for part in parts[depth:-1]:
        owner = getattr(owner, part)
    whole: Callable[..., Any] = getattr(owner, parts[-1])
    calls = iter(range(1, 10_000))

    def cut(*given: Any, **named: Any) -> Any:
        dies = next(calls) == call
        if dies and not after:
            os._exit(DIED)
        found = whole(*given, **named)
        if dies:
            os._exit(DIED)
        return found

    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        setattr(owner, parts[-1], cut)
        try:
            main(command)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == DIED, f"call {call} of {place} was never reached"


def find(name: str) -> bool:
    """Tell whether there is a module of that name."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def content(folder: Path) -> dict[str, bytes]:
    """Return what the files of a folder hold, but halves of small ones that a kill may leave."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != HALF
    }


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    "place",
    [
        "ssl_patches.export.write.write_formats",
        "ssl_patches.export.proof._in_another_process",
        pytest.param("ssl_patches.export.write._write_readme_and_card", marks=pytest.mark.slow),
    ],
)
def test_an_export_that_dies_is_made_whole_by_the_same_command(
    place, after, tmp_path, monkeypatch, proven_here
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", f"model={BEFORE}/run", "output=whole"]) == 0
    command = ["export", f"model={BEFORE}/run", "output=cut"]
    dies_at(place, command, after=after)
    assert not Path("cut").exists(), "half an export has its name"
    assert main(command) == 0
    assert content(Path("cut")) == content(Path("whole"))
    assert {path.name for path in tmp_path.iterdir()} == {"cut", "whole"}


@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("place", "call"),
    [
        pytest.param("ssl_patches.evaluation.evaluate.read_features", 1, marks=pytest.mark.slow),
        pytest.param("ssl_patches.evaluation.floors.keep_floors", 1, marks=pytest.mark.slow),
        pytest.param("ssl_patches.evaluation.record.Record.save", 1, marks=pytest.mark.slow),
        ("os.replace", 1),
        ("os.replace", 2),
    ],
)
def test_an_evaluation_that_dies_is_done_by_the_same_command(
    place, call, after, tmp_path, monkeypatch, capsys
):
    def evaluated(folder: str) -> tuple[str, dict[str, bytes]]:
        assert main(command) == 0
        return capsys.readouterr().out, content(tmp_path / folder)

    data = ["data=embedded", "data.count=64", "data.num_workers=0"]
    words = [f"model={BEFORE}/export", "probes=[knn]", "output=found.npz", "--json"]
    command = ["evaluate", *words, *data]
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    whole = evaluated("whole")
    monkeypatch.chdir(tmp_path / "cut")
    dies_at(place, command, after=after, call=call)
    capsys.readouterr()
    assert evaluated("cut") == whole


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        "ssl_patches.training.finish.draw_task",
        "ssl_patches.training.finish.export_encoder",
        "ssl_patches.training.finish.evaluate_run",
        "ssl_patches.training.finish.add_results",
        "ssl_patches.training.finish.write_json",
    ],
)
def test_the_end_of_a_run_that_dies_is_done_by_resuming_it(
    place, after, finished_run, tmp_path, proven_here
):
    run = Path(shutil.copytree(finished_run, tmp_path / "run", symlinks=True))
    for left in ("encoder", "figures"):
        shutil.rmtree(run / left)
    for left in (SUMMARY, "evaluation.npz"):
        (run / left).unlink()
    command = ["pretrain", *SMALL, f"run_dir={run}", "resume=true"]
    dies_at(place, command, after=after)
    if (place, after) == ("ssl_patches.training.finish.write_json", True):
        assert (run / SUMMARY).exists()
    assert main(command) == 0
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []
    wanted, found = (json.loads((place / SUMMARY).read_text()) for place in (finished_run, run))
    named = json.loads(json.dumps(wanted).replace(finished_run.name, run.name))
    for key in ("results", "data_fingerprint", "protocol"):
        assert found[key] == named[key]
    weights = Path("encoder") / "model.safetensors"
    assert (run / weights).read_bytes() == (finished_run / weights).read_bytes()
    assert {path.name for path in (run / "figures").iterdir()} >= {"jigsaw.png"}
    with np.load(run / "evaluation.npz") as one, np.load(finished_run / "evaluation.npz") as other:
        assert one.files == other.files
        assert all(np.array_equal(one[name], other[name]) for name in one.files)
