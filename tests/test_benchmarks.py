"""Benchmarks start and say what they measure; their numbers are no test."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time

import pytest
from small import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import processes
from elsewhere import Elsewhere
from processes import run
from step import peers
from timing import Contender, bf16_here, interleaved, ratios
from whole_run_ours import PARTS


def test_contenders_run_in_turns_and_ratios_are_taken_within_a_round():
    order = []
    contenders = [Contender(name, lambda name=name: order.append(name), 1) for name in "ab"]
    taken = interleaved(contenders, rounds=2, warm=1)
    assert order == list("ab" + "ab" + "ba")
    assert [len(values) for values in taken.values()] == [2, 2]
    assert (
        ratios({"ours": [1.0, 2.0, 1.0], "theirs": [2.0, 4.0, 2.0]}, "ours", "theirs")["median"]
        == 2
    )  # a slow round is slow for both


def test_no_round_begins_after_the_limit_but_the_first(capsys):
    order: list[str] = []
    contenders = [Contender(name, lambda name=name: order.append(name), 1) for name in "ab"]
    taken = interleaved(contenders, rounds=9, warm=0, limit=0.0)
    assert [len(values) for values in taken.values()] == [1, 1]
    assert "1 of 9 rounds" in capsys.readouterr().out


def test_nothing_races_in_bf16_where_the_hardware_has_none():
    assert not bf16_here(pretend_none=True)
    names = [each.name for each in peers("ViT-T/4 @32", 1, False, False, half=False)]
    assert names == ["facebookresearch/mae (re-stated), fp32"]


def test_a_whole_process_is_told_with_its_children(tmp_path, monkeypatch):
    """A child burns half a second and holds 60 MB; both are counted to the parent."""
    child = "import time; held = bytearray(60 * 2**20); t = time.process_time()\n"
    child += "while time.process_time() < t + 0.5: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    words = [sys.executable, "-c", parent]
    monkeypatch.setattr(processes, "PAUSE", 0.1)
    cost = run(words, cwd=tmp_path, environment=os.environ, log=tmp_path / "log")
    assert 0.5 <= cost.cpu < 5
    assert cost.peak_rss > 60
    assert cost.peak_pss <= cost.peak_rss
    words = [sys.executable, "-c", "print('said before'); raise SystemExit(3)"]
    with pytest.raises(SystemExit, match="said before"):
        run(words, cwd=tmp_path, environment=os.environ, log=tmp_path / "log")


def test_the_clocks_of_a_whole_run_are_put_on_functions_that_there_are():
    for module, path, part in PARTS:
        found = importlib.import_module(module)
        for name in path.split("."):
            assert hasattr(found, name), f"{part}: {module} has no {path}"
            found = getattr(found, name)
        assert callable(found)


@pytest.mark.slow
def test_what_the_framework_costs_is_measured_with_and_without_it():
    import framework

    assert framework.bare(1) > 0
    assert framework.lightning(1, "default") > 0


def burning(seconds: float) -> list[Contender]:
    def burn() -> None:
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    return [Contender("burns", burn, 5)]


@pytest.mark.slow  # a process that imports the peers
def test_a_contender_elsewhere_is_timed_in_its_own_process_and_only_when_it_is_asked():
    other = Elsewhere(burning, 0.05)
    began = time.process_time()
    taken = interleaved(other.contenders, rounds=2, warm=0)
    here = time.process_time() - began
    other.end()
    assert all(0.01 <= seconds < 0.05 for seconds in taken["burns"])  # per image, of five
    assert here < 0.05
    assert other.process.exitcode == 0


@pytest.mark.slow
def test_the_gpu_script_runs_at_toy_size_without_a_gpu():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu.py", "--tiny"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for what in ("reference as shipped", "ours: runs", "jigsaw", "relative"):
        assert what in done.stdout
