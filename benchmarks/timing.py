"""Rates in images per CPU second of one thread, measured in rounds that visit every line in turn.

Neighbours on a shared machine change what a core gives by the second, so only ratios within a round mean anything: a
ratio is the median over rounds of two rates of the same round, with its quartiles beside it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from ssl_patches.allocator import keep_freed_memory

Rates = dict[str, list[float]]


def rates(lines: Mapping[str, Callable[[], int]], *, rounds: int, seconds: float) -> Rates:
    """Images per CPU second of each line in each round. A line does a piece of work and says of how many images.

    ``seconds``: CPU seconds that a line runs per round, at least once; once before the first round it runs unmeasured.
    """
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does; for all lines alike
    for run in lines.values():
        run()
    found: Rates = {name: [] for name in lines}
    for _ in range(rounds):
        for name, run in lines.items():
            began, images = time.process_time(), 0
            while (spent := time.process_time() - began) < seconds or not images:
                images += run()
            found[name].append(images / spent)
    return found


def ratio(found: Rates, ours: str, theirs: str) -> tuple[float, float, float]:
    """Median and quartiles over the rounds of ``ours`` / ``theirs``."""
    each = [a / b for a, b in zip(found[ours], found[theirs], strict=True)]
    low, middle, high = quantiles(each, n=4) if len(each) > 1 else each * 3
    return middle, low, high


def tell(found: Rates, *, ours: str) -> dict[str, Any]:
    """Print a line per rate, and how many times as fast ``ours`` is; the same as a mapping."""
    rows: dict[str, Any] = {}
    for name, each in found.items():
        middle, low, high = ratio(found, ours, name)
        rows[name] = {"images_per_cpu_second": median(each), "ours_over_it": middle, "quartiles": [low, high], "rounds": each}
        beside = "" if name == ours else f"   ours {middle:6.2f}x  (quartiles {low:.2f} to {high:.2f})"
        print(f"  {name:52} {median(each):9.0f} images/s{beside}", flush=True)
    return rows


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = named[0] if named else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def write(path: Path | None, results: Mapping[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n", encoding="utf-8")
