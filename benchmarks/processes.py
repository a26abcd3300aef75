"""Whole processes and what they cost: CPU seconds with all children, the clock, peak memory.

CPU seconds are the operating system's own account of a process and of everything that it waited
for. Memory is sampled over the whole tree: ``rss`` counts a page in every process that shows it,
as ``top`` does; ``pss`` counts a shared page once, so it is what the machine really gave.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PAUSE = 2.0  # seconds between samples of memory


@dataclass
class Cost:
    """What a process tree took; seconds and megabytes."""

    cpu: float
    clock: float
    peak_rss: float
    peak_pss: float
    processes: int

    def as_dict(self) -> dict[str, float]:
        return {key: round(value, 2) for key, value in asdict(self).items()}


def family(pid: int) -> list[int]:
    """A process and all below it that are alive."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # gone meanwhile
            found += [each for child in task.read_text().split() for each in family(int(child))]
    return found


def megabytes(pid: int) -> tuple[float, float]:
    """Rss and Pss of a process; nothing of one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    table = {line.split(":")[0]: float(line.split()[1]) / 1024 for line in lines}
    return table.get("Rss", 0.0), table.get("Pss", 0.0)


def run(words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path) -> Cost:
    """Run a command to its end; what it prints goes to ``log``. SystemExit where it fails."""
    began, peaks = time.perf_counter(), [0.0, 0.0, 1.0]
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=cwd, env=environment, stdout=out, stderr=out)
        over = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, over, peaks))
        sampler.start()
        _, status, used = os.wait4(process.pid, 0)
        over.set()
        sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)[:200]}\n{log.read_text(errors='replace')[-3000:]}")
    clock = time.perf_counter() - began
    return Cost(used.ru_utime + used.ru_stime, clock, peaks[0], peaks[1], int(peaks[2]))


def _sample(pid: int, over: threading.Event, peaks: list[float]) -> None:
    while not over.wait(PAUSE):
        members = family(pid)
        each = [megabytes(member) for member in members]
        now = (sum(rss for rss, _ in each), sum(pss for _, pss in each), len(members))
        peaks[:] = [max(before, value) for before, value in zip(peaks, now, strict=True)]
