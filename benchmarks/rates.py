"""Short pieces of work, repeated for a while in each round: images per CPU second, and how many
times as fast ours is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from timing import machine, ratios, spread
from timing import write as write_json

from ssl_patches.config.malloc import keep_freed_memory

Rates = dict[str, list[float]]


def rates(lines: Mapping[str, Callable[[], int]], *, rounds: int, seconds: float) -> Rates:
    """Images per CPU second of each line in each round. A line does a piece of work and says of how
    many images.

    ``seconds``: CPU seconds that a line runs per round, at least once; once before the first round
    it runs unmeasured.
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


def tell(found: Rates, *, ours: str) -> dict[str, Any]:
    """Print a line per rate, and how many times as fast ``ours`` is; the same as a mapping."""
    taken = {name: [1 / rate for rate in each] for name, each in found.items()}
    rows: dict[str, Any] = {}
    for name, each in found.items():
        ahead = ratios(taken, ours, name)
        rows[name] = {"images_per_cpu_second": spread(each), "ours_over_it": ahead}
        beside = (
            ""
            if name == ours
            else (
                f"   ours {ahead['median']:6.2f}x  (quartiles {ahead['low']:.2f} to"
                f" {ahead['high']:.2f})"
            )
        )
        print(
            f"  {name:52} {rows[name]['images_per_cpu_second']['median']:9.0f} images/s{beside}",
            flush=True,
        )
    return rows


def write(path: Path | None, results: Mapping[str, Any]) -> None:
    if path is not None:
        write_json(path, {"machine": machine(), **results})
