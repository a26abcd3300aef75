"""A real cluster of Ray on this machine, and commands that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MEMORY = 80 * 2**20  # of each node's store, the least that Ray takes
TRIES = 5  # Ray gives a node 15 seconds to start, which a busy machine may not have


@contextmanager
def three_nodes(places: Path) -> Iterator[Any]:
    """Yield a cluster of a head and two ``extra`` nodes, of one processor each.

    Each has a folder of its own for temporary files, below ``places``.
    """
    pytest.importorskip("ray", reason="needs ssl-patches[ray]")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster()

    def add(number: int) -> Any:
        place = places / f"node-{number}"
        place.mkdir(exist_ok=True)
        asked: dict[str, Any] = {"num_cpus": 1, "object_store_memory": MEMORY}
        asked |= {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        for left in reversed(range(TRIES)):
            try:
                return made.add_node(**asked, env_vars={"TMPDIR": str(place)})
            except Exception:
                if not left:
                    raise
        return None

    add(0)
    made.extra = [add(number) for number in (1, 2)]
    yield made
    made.shutdown()


def start_study(folder: Path, cluster: Any, *words: str) -> subprocess.Popen:
    """Start the study of a folder on a cluster; its runs lie in ``out`` beside it."""
    out, where = f"out={folder.parent / 'out'}", f"ray.address={cluster.address}"
    command = [sys.executable, "-m", "ssl_patches", "study", str(folder), out, "launcher=ray"]
    command += [where, "trainer.checkpoint_steps=20", "trainer.log_every=5", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 3000
) -> None:
    """Wait until something holds while a process goes on."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(1)
