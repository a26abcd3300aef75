"""Benchmarks start and say what they measure; their numbers are no test."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time

import pytest
import yaml
from small import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import processes
from elsewhere import Elsewhere
from knn_contenders import Asked
from knn_networks import NARROW
from knn_rule import proven, reached, steps_within, told
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


def marks(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"cpu": cpu, "knn": knn} for cpu, knn in pairs]


def test_a_peer_gets_the_steps_that_use_its_seconds_up():
    """A start of 16 s, then 2 s a step: 100 s are 42 steps; never fewer than were tried."""
    assert steps_within({2: 20.0, 4: 24.0, 6: 28.0}, 100.0) == 42
    assert steps_within({2: 20.0, 6: 28.0}, 10.0) == 6
    with pytest.raises(ValueError, match="two are needed"):
        steps_within({6: 28.0}, 100.0)


def test_the_first_mark_at_the_goal_counts_and_no_later_one():
    assert reached(marks((10, 30.0), (20, 45.0), (30, 44.0)), 45) == 20
    assert reached(marks((10, 30.0)), 45) is None


def test_what_marks_prove_is_bounded_by_the_last_mark_below_and_the_first_at_the_goal():
    curve = marks((100, 30.0), (200, 44.9))
    assert proven(curve, 45, 50.0) == {"at_least": 4.0, "at_most": None}
    assert proven(curve, 40, 50.0) == {"at_least": 2.0, "at_most": 4.0}
    assert proven(curve, 20, 50.0) == {"at_least": 0.0, "at_most": 2.0}


@pytest.mark.parametrize(
    ("goal", "answer"), [(45, "not reached in 200 CPU s"), (40, "open"), (20, "missed")]
)
def test_a_goal_between_two_marks_is_open_neither_met_nor_missed(goal, answer):
    line = told("peer", marks((100, 30.0), (200, 44.9)), goal, 50.0, 3.0)
    assert answer in line
    assert ("met" in line) == (goal == 45)


@pytest.mark.parametrize(("steps", "count"), [(6, 3), (47, 2), (120, 4), (100, 1), (50, 4)])
def test_marks_are_as_many_as_asked_and_the_last_step_is_one(tmp_path, steps, count):
    asked = Asked(data=tmp_path, steps=steps, marks=count, out=tmp_path, bf16=False)
    due = [step for step in range(1, steps + 1) if asked.due(step)]
    assert len(due) == count
    assert due[-1] == steps


def test_our_network_in_a_peers_recipe_is_the_one_of_the_experiment():
    text = (REPOSITORY / "conf" / "encoder" / "resnet_small.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["options"] == NARROW


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
