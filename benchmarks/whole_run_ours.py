"""Our command with a clock on its parts: ``python whole_run_ours.py REPORT.json pretrain ...``.

Every CPU second of the process, and of children that it has waited for, goes to one part: the one
that was entered last. The functions are named below; where one is renamed this fails at once.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = (
    ("ssl_patches.training.fit", "fit", "steps"),
    ("ssl_patches.training.callbacks.health", "Health.on_train_start", "health panel"),
    ("ssl_patches.training.callbacks.health", "Health.on_step_end", "health panel"),
    ("ssl_patches.training.callbacks.health", "Health.on_train_end", "health panel"),
    ("ssl_patches.training.callbacks.previews", "Previews.on_step_end", "previews"),
    ("ssl_patches.training.callbacks.previews", "Previews.on_train_end", "previews"),
    ("ssl_patches.training.finish", "finish", "the rest of the end"),
    ("ssl_patches.training.finish", "_draw", "previews"),
    ("ssl_patches.export.write", "reference_of", "proof: reference"),
    ("ssl_patches.export.proof", "compare_formats", "proof: a process of its own"),
    ("ssl_patches.training.finish", "_export", "export"),
    ("ssl_patches.training.finish", "add_results", "export"),
    ("ssl_patches.training.finish", "evaluate_run", "evaluation: reading images, probes"),
    ("ssl_patches.evaluation.one_model", "untrained_of", "evaluation: floors"),
)
MODELS = "evaluation: features of "


class Clocks:
    """Who has used how many CPU seconds, and seconds by the clock."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.clock: dict[str, float] = {}
        self.stack = ["start"]
        self.before = (0.0, time.monotonic() - _age())

    def charge(self) -> None:
        used = os.times()
        now = (sum(used[:4]), time.monotonic())
        for table, at, before in zip((self.cpu, self.clock), now, self.before, strict=True):
            table[self.stack[-1]] = table.get(self.stack[-1], 0.0) + at - before
        self.before = now

    def on(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def clocked(*given: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*given, **named)
            self.charge()
            self.stack.append(part)
            try:
                return function(*given, **named)
            finally:
                self.charge()
                self.stack.pop()

        return clocked


def _age() -> float:
    """Seconds since this process began."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - began / os.sysconf("SC_CLK_TCK")


def watch(clocks: Clocks) -> None:
    """Put a clock on every part that is loaded by a run."""
    for module, path, part in PARTS:
        owner: Any = importlib.import_module(module)
        *names, last = path.split(".")
        for name in names:
            owner = getattr(owner, name)
        setattr(owner, last, clocks.on(getattr(owner, last), part))
    features = importlib.import_module("ssl_patches.evaluation.features.passes")
    reader = features._reader

    def named(model: Any, *given: Any) -> Any:
        # made for the trained model first, then for random weights, then for pixels
        floor = "floors" if model is None or "trained" in seen else "trained"
        seen.add(floor)
        return clocks.on(reader(model, *given), MODELS + floor)

    seen: set[str] = set()
    features._reader = named


def watch_when_loaded(clocks: Clocks) -> None:
    """Put the clocks on once the command has loaded what it loads first: in its own order."""
    lean = importlib.import_module("ssl_patches.training.lean_imports")
    load = lean.load_lean

    def loaded(cfg: Any) -> bool:
        lean.load_lean = load
        found = load(cfg)
        watch(clocks)
        owners = {"fit": "training.fit", "finish": "training.finish"}
        for name, module in owners.items():
            changed = getattr(importlib.import_module(f"ssl_patches.{module}"), name)
            setattr(importlib.import_module("ssl_patches.training.run"), name, changed)
        proven = importlib.import_module("ssl_patches.export.proof").compare_formats
        importlib.import_module("ssl_patches.export.write").compare_formats = proven
        watch_first_step(clocks)
        return found

    lean.load_lean = loaded


def watch_first_step(clocks: Clocks) -> None:
    meter = importlib.import_module("ssl_patches.training.callbacks.meter").Meter
    first = meter.on_train_batch_end

    def until_first(self: Any, *given: Any) -> None:
        meter.on_train_batch_end = first
        clocks.charge()
        clocks.cpu["until the first step ends"] = sum(os.times()[:4])
        clocks.clock["until the first step ends"] = _age()
        first(self, *given)

    meter.on_train_batch_end = until_first


def main(report: str, words: list[str]) -> int:
    from ssl_patches.cli import main as command

    clocks = Clocks()
    watch_when_loaded(clocks)
    code = command(words)
    clocks.charge()
    Path(report).write_text(json.dumps({"cpu": clocks.cpu, "clock": clocks.clock}))
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
