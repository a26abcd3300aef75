"""What it costs to start: CPU seconds (user and system) of whole processes, beside torch alone.

    python benchmarks/start.py

Each line is a process of its own, started ``--rounds`` times after one that is not counted, so that
bytecode is there. CPU seconds do not depend on what else the machine does; the clock does, so it is
given with the load average. The first step is that of a nano run: the process ends itself when the
first batch has been trained. JSON goes to runs/benchmarks/start.json. ``--source DIR`` measures
another checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST_STEP = """
import contextlib, os, sys
from ssl_patches.cli import main
with contextlib.suppress(ImportError):  # as the command does, before Lightning
    from ssl_patches.training.lean_imports import load_lean
    load_lean({})
from ssl_patches.training.callbacks.meter import Meter

def over(self, *_):
    print("first step", flush=True)
    os._exit(0)

Meter.on_train_batch_end = over
main(sys.argv[1:])
"""
NANO = (
    *("pretrain", "data=embedded", "data.count=64", "image_size=32", "data.batch_size=8"),
    *("data.num_workers=0", "budget.images=80", "encoder=vit_nano", "callbacks=none"),
)
LINES = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import timm (with torchvision)": ["-c", "import timm"],
    "import lightning (with torchmetrics)": ["-c", "import lightning"],
    "import ssl_patches": ["-c", "import ssl_patches"],
    "--help": ["-m", "ssl_patches", "--help"],
    "a misspelt name: pretrain task=jigsw": ["-m", "ssl_patches", "pretrain", "task=jigsw"],
    "a wrong type: pretrain task.permutations=x": [
        *("-m", "ssl_patches", "pretrain", "task.permutations=x"),
    ],
    "a misspelt key: evaluate modl=x": ["-m", "ssl_patches", "evaluate", "modl=x"],
    "runs of a folder that is not there": ["-m", "ssl_patches", "runs", "nowhere"],
    "until the first step of a nano run": ["-c", FIRST_STEP, *NANO],
}


def cost(words: list[str], folder: str, source: Path) -> tuple[float, float]:
    """CPU seconds and seconds by the clock of one process that may fail as it is meant to."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 2):
        raise SystemExit(f"{' '.join(words)}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", nargs="*", help="lines that begin so")
    arguments.add_argument("--source", type=Path, default=Path(__file__).resolve().parents[1])
    arguments.add_argument("--out", type=Path, default=Path("runs/benchmarks/start.json"))
    asked = arguments.parse_args()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    found = {}
    print(f"load average {os.getloadavg()[0]:.1f}; CPU seconds, median of {asked.rounds}; clock")
    for name, words in LINES.items():
        if asked.only and not name.startswith(tuple(asked.only)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            taken = [cost(words, folder, asked.source) for _ in range(asked.rounds + 1)][1:]
        cpu, clock = (statistics.median(each) for each in zip(*taken, strict=True))
        found[name] = {"cpu": round(cpu, 2), "clock": round(clock, 2)}
        print(f"{cpu:6.2f} {clock:7.2f}  {name}", flush=True)
        load = round(os.getloadavg()[0], 1)
        result = {"load": load, "rounds": asked.rounds, "lines": found}
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
