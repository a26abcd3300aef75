"""A study on a real Ray cluster of three nodes on this machine, one of which is killed."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_nodes import start_study, three_nodes, wait_for

STEPS = 400


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Any]:
    with three_nodes(tmp_path_factory.mktemp("nodes")) as made:
        yield made


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
    process = start_study(folder, cluster)
    wait_for(lambda: len(saved(out)) == len(seeds), process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "the same command goes on" in said[1]
    stopped = {file: file.stat().st_mtime_ns for file in saved(out)}

    process = start_study(folder, cluster)
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
    process = start_study(tiny_study(), cluster, "ray.num_gpus=8")
    said = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "no node of the cluster has what each run is to have" in said[1]
    assert not (tmp_path / "out").exists()
