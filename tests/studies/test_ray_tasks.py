"""A study on a real Ray cluster of three nodes on this machine, one of which is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_patches.cli import main
from ssl_patches.config.messages import BadRequest
from ssl_patches.studies import ray_tasks

MEMORY = 80 * 2**20  # of each node's store, the least that Ray takes
STEPS = 400


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("num_gpus", -1, "ray.num_gpus=-1: must be a number from 0"),
        ("num_cpus", "four", "ray.num_cpus=four: must be a number"),
        ("num_cpus", True, "ray.num_cpus=true: must be a number"),
        ("num_cpus", float("nan"), "must be a number"),
        ("memory_gb", 0, "must be a number above 0"),
        ("address", None, "ray.address=null: must be the address"),
        ("num_cpu", 1, "ray.num_cpu: unknown key; there are ray.address"),
    ],
)
def test_what_cannot_be_meant_is_refused(key: str, value: Any, said: str) -> None:
    (problem,) = ray_tasks.problems_of_ray({key: value})
    assert said in problem


def test_what_can_be_meant_is_not() -> None:
    good = {"address": "auto", "num_cpus": 2, "num_gpus": 0.5, "memory_gb": 8}
    assert ray_tasks.problems_of_ray(good) == []


def test_without_ray_it_is_said_what_to_install(tiny_study, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = tiny_study(axes={"task": []})  # told together with all else
    assert main(["study", str(folder), "launcher=ray"]) == 2
    said = capsys.readouterr().err
    assert "launcher=ray: needs ray; pip install 'ssl-patches[ray]'" in said
    assert "axes.task: is empty" in said


def test_settings_of_ray_without_it_are_refused(tiny_study, tmp_path, capsys) -> None:
    assert main(["study", str(tiny_study(axes={"task": []})), "ray.num_gpus=1"]) == 2
    assert "ray.num_gpus: has no effect without launcher=ray" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two nodes of one processor each."""
    pytest.importorskip("ray", reason="needs ssl-patches[ray]")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": MEMORY}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    made.extra = [made.add_node(**node) for _ in range(2)]
    yield made
    made.shutdown()


def start(folder: Path, cluster: Any, *words: str) -> subprocess.Popen:
    out, where = f"out={folder.parent / 'out'}", f"ray.address={cluster.address}"
    command = [sys.executable, "-m", "ssl_patches", "study", str(folder), out, "launcher=ray"]
    command += [where, "trainer.checkpoint_steps=20", "trainer.log_every=5", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Any, process: subprocess.Popen, seconds: float = 500) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)


def saved(out: Path) -> list[Path]:
    return list(out.rglob("checkpoints/last.ckpt"))


def check_whole(out: Path, seeds: list[int]) -> str:
    """Every run has its whole budget; returns what the tasks said."""
    found = [json.loads(file.read_text()) for file in out.rglob("cells/*/summary.json")]
    assert sorted(summary["seed"] for summary in found) == seeds
    assert {summary["budget_used"]["images"] for summary in found} == {16 * STEPS}
    return "".join(file.read_text() for file in (out / "logs").glob("*.log"))


@pytest.mark.slow
def test_a_lost_node_and_ctrl_c_cost_no_run(cluster, tiny_study, tmp_path) -> None:
    """Ctrl-C saves all; the same command goes on, and what ran on a node that is killed goes on
    elsewhere."""
    seeds = [0, 1, 2]
    folder = tiny_study(axes={"seed": seeds}, budget={"images": 16 * STEPS})
    out = tmp_path / "out"
    process = start(folder, cluster)
    wait_for(lambda: len(saved(out)) == len(seeds), process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "the same command goes on" in said[1]
    stopped = {file: file.stat().st_mtime_ns for file in saved(out)}

    process = start(folder, cluster)
    later = lambda: [file for file in saved(out) if file.stat().st_mtime_ns != stopped[file]]  # noqa: E731
    wait_for(lambda: len(later()) == len(seeds), process)
    cluster.remove_node(cluster.extra.pop(), allow_graceful=False)
    said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "Ray cluster of 3 nodes" in said[1]
    log = check_whole(out, seeds)
    assert len(re.findall(r"process \d+ begins", log)) == 2 * len(seeds) + 1
    assert len(re.findall(r"resumed at step \d+", log)) == len(seeds) + 1


@pytest.mark.slow
def test_what_no_node_has_is_refused_before_anything_is_written(cluster, tiny_study, tmp_path):
    process = start(tiny_study(), cluster, "ray.num_gpus=8")
    said = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "no node has what each run is to have" in said[1]
    assert not (tmp_path / "out").exists()


def test_no_cluster_where_one_is_named() -> None:
    pytest.importorskip("ray", reason="needs ssl-patches[ray]")
    with pytest.raises(BadRequest, match="no cluster answers"):
        ray_tasks.connect("127.0.0.1:1")
