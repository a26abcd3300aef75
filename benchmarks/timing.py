"""What every benchmark shares: contenders in turns, CPU time of this process, medians with their
spread, JSON.

A round runs every contender once, so that what else the machine does falls on all of them alike; a
ratio is taken within a round and the median over rounds is told with its quartiles. CPU seconds of
one thread do not count waiting for others, but a neighbour still takes cache and clock: only ratios
within one run mean anything. On a GPU wall time is taken, with the device waited for, because CPU
time says nothing there.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ssl_patches.config.native_bf16 import native_bf16

SHAPES = ((4096, 192, 768), (4096, 768, 192), (3136, 512, 2048), (2048, 1024, 1024))
"""(rows, in, out) of the products whose best rate is the ceiling: those of small and middle-sized
ViTs."""


@dataclass(frozen=True)
class Contender:
    """``run()`` does one step of ``images`` images; ``timed``: it returns the seconds that the step
    took."""

    name: str
    run: Callable[[], object]
    images: int
    timed: bool = False


def seconds(run: Callable[[], object], device: str = "cpu") -> float:
    """Of one call: CPU seconds of this process, or wall seconds of a GPU."""
    if device == "cpu":
        began = time.process_time()
        run()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def bf16_here(*, pretend_none: bool = False) -> bool:
    """Whether this CPU multiplies bf16 itself; where it does not, a race in bf16 takes twenty
    minutes and says nothing. ``pretend_none``: as on such a CPU."""
    return not pretend_none and native_bf16("cpu") is not None


def interleaved(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    warm: int = 2,
    device: str = "cpu",
    limit: float = math.inf,
) -> dict[str, list[float]]:
    """Seconds per image of each contender in each round; the order turns by one from round to
    round. No round begins after ``limit`` seconds by the clock, but for the first."""
    began = time.monotonic()
    for contender in contenders:
        for _ in range(warm):
            contender.run()
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        if turn and time.monotonic() - began > limit:
            print(f"{turn} of {rounds} rounds: the time is over")
            break
        for contender in (
            *contenders[turn % len(contenders) :],
            *contenders[: turn % len(contenders)],
        ):
            took = contender.run() if contender.timed else seconds(contender.run, device)
            taken[contender.name].append(took / contender.images)
    return taken


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive")
        if len(values) > 1
        else [values[0]] * 3
    )
    return {"median": middle, "low": low, "high": high}


def ratios(taken: Mapping[str, Sequence[float]], name: str, against: str) -> dict[str, float]:
    """How many times as fast ``name`` is, round by round."""
    return spread([theirs / ours for ours, theirs in zip(taken[name], taken[against], strict=True)])


def ceiling(device: str = "cpu", *, rounds: int = 5, bf16: bool = True) -> dict[str, float]:
    """FLOP/s of matrix products on this machine, the best over shapes: of fp32 (MKL, oneDNN) and,
    where there is ``bf16``, of that."""
    dnn = (
        torch.ops.mkldnn._linear_pointwise
        if device == "cpu" and torch.backends.mkldnn.is_available()
        else None
    )
    best: dict[str, float] = {}
    for rows, wide, out in SHAPES if device == "cpu" else ((16384, 4096, 4096), (8192, 8192, 8192)):
        a, b = torch.randn(rows, wide, device=device), torch.randn(out, wide, device=device)
        runs = {"fp32": lambda a=a, b=b: a @ b.mT}
        if bf16:
            a16, b16 = a.bfloat16(), b.bfloat16()
            runs["bf16"] = lambda a=a16, b=b16: a @ b.mT
        if dnn:
            runs["fp32 oneDNN"] = lambda a=a, b=b: dnn(a, b, None, "none", [], "")
        taken = interleaved(
            [Contender(key, run, 1) for key, run in runs.items()], rounds=rounds, device=device
        )
        for key, values in taken.items():
            best[key] = max(best.get(key, 0.0), 2 * rows * wide * out / statistics.median(values))
    return best


def machine(device: str = "cpu") -> dict[str, object]:
    """What the numbers depend on."""
    name = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines() if ":" in line)
        lines = {key.strip(): value.strip() for key, value in lines.items()}
        name = (
            f"{lines.get('model name', name)}, family {lines.get('cpu family')} model"
            f" {lines.get('model')}"
        )
    found = {
        "cpu": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "features": sorted(
            key for key, value in torch.cpu.get_capabilities().items() if value is True
        ),
    }
    return found if device == "cpu" else {**found, "gpu": torch.cuda.get_device_name()}


def one_thread() -> None:
    """This process on one core, and torch with one thread."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # no thread of a library elsewhere


def write(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"-> {path}")
