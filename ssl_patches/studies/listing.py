"""What is in a folder of runs: `ssl-patches runs [list|diff|remove]`. Everything is read from the
run directories."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ssl_patches import config
from ssl_patches.config import locks
from ssl_patches.config.messages import BadRequest, nearest, shown
from ssl_patches.config.mixture import nodes
from ssl_patches.config.run_dir import CONFIG, differences
from ssl_patches.evaluation.rows import TRAINED
from ssl_patches.studies.state import ERROR, Kind, State, state_of, summary_of, used
from ssl_patches.training import supervised

KINDS = tuple(kind for kind in get_args(Kind) if kind != "missing")
FILTERS = ("state", "task", "encoder", "data", "seed")
METRICS_SHOWN = 3


@dataclass(frozen=True)
class Run:
    """A run directory as it stands. ``cfg`` empty: its config.yaml cannot be read. ``metrics``: of
    the trained encoder."""

    path: Path
    state: State
    cfg: Mapping[str, Any]
    used: Mapping[str, float]
    metrics: Mapping[str, float]

    @property
    def traits(self) -> dict[str, str]:
        """What it can be filtered by."""
        if not self.cfg:
            return {key: self.state.kind if key == "state" else "?" for key in FILTERS}
        data = self.cfg["data"]
        task = "supervised" if supervised.is_supervised(self.cfg) else "+".join(nodes(self.cfg))
        return {
            "state": self.state.kind,
            "task": task,
            "encoder": str(self.cfg["encoder"].get("name", "?")),
            "data": (
                Path(str(data.get("root", ""))).name
                or data["_target_"].rpartition(".")[2].removesuffix("Source").lower()
            ),
            "seed": str(self.cfg["seed"]),
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": str(self.path), **self.traits, "note": self.state.note, "budget_used": dict(self.used), "metrics": self.metrics
        }  # fmt: skip


def runs_command(words: Sequence[str], *, as_json: bool, yes: bool) -> int:
    """Exit code of ``ssl-patches runs``. ValueError for a bad request."""
    what, rest = (
        (words[0], words[1:])
        if words and words[0] in ("list", "diff", "remove")
        else ("list", words)
    )
    if yes and what != "remove":
        raise BadRequest([f"--yes: has no meaning for runs {what}; take it out"])
    if what == "remove":
        return remove(rest, yes=yes)
    if what == "diff":
        found: Any = diff(rest)
        text = _differing(found)
    else:
        listed = matching(rest)
        found, text = [run.as_dict() for run in listed], _table(listed)
    print(json.dumps(found) if as_json else text)
    return 0


def matching(words: Sequence[str]) -> list[Run]:
    """The runs below the folders among ``words`` (runs/ when there is none) that every KEY=VALUE
    fits."""
    filters = dict(word.split("=", 1) for word in words if "=" in word)
    places = [Path(word) for word in words if "=" not in word] or [Path("runs")]
    problems = [
        f"{key}={value}: no such filter; {nearest(key, FILTERS)}"
        for key, value in filters.items()
        if key not in FILTERS
    ]
    if "state" in filters and filters["state"] not in KINDS:
        problems.append(
            f"state={filters['state']}: no such state;"
            f" {nearest(filters['state'], KINDS, prefix='state=')}"
        )
    problems += [
        f"runs {place}: no such folder; give a folder of runs"
        for place in places
        if not place.is_dir()
    ]
    if problems:
        raise BadRequest(problems)
    directories = sorted(
        {file.parent for place in places for name in (CONFIG, ERROR) for file in place.rglob(name)}
    )
    found = [
        read(directory)
        for directory in directories
        if "encoder" not in directory.name or (directory / CONFIG).is_file()
    ]
    return [run for run in found if all(run.traits[key] == value for key, value in filters.items())]


def read(directory: Path) -> Run:
    """One run; what cannot be read is empty."""
    try:
        cfg = config.load(directory / CONFIG)
        readable = {"data", "encoder", "task", "seed"} <= cfg.keys() or {
            "data",
            "encoder",
            "parts",
            "seed",
        } <= cfg.keys()
    except BadRequest:
        cfg, readable = {}, False
    state = state_of(directory)
    if not readable and state.kind not in ("failed", "running"):
        state = State("crashed", f"{CONFIG} cannot be read")
    summary = summary_of(directory) or {"results": []}
    metrics = {
        row["metric"]: row["value"] for row in summary["results"] if row["model"] == TRAINED
    }
    return Run(directory, state, cfg if readable else {}, used(directory), metrics)


def diff(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``settings``, ``budget_used`` and ``results``: key -> [of A, of B], where they are not
    equal."""
    if len(words) != 2:
        raise BadRequest(
            [f"runs diff {' '.join(words)}: takes two runs; give ssl-patches runs diff A B"]
        )
    a, b = (_run_at(word) for word in words)
    own = {"run_dir", "resume", "overwrite"}
    settings = differences(
        *({key: value for key, value in run.cfg.items() if key not in own} for run in (a, b))
    )
    return {
        "settings": {key: list(pair) for key, pair in settings.items()},
        "budget_used": {
            key: list(pair) for key, pair in differences(dict(a.used), dict(b.used)).items()
        },
        "results": {
            key: list(pair) for key, pair in differences(dict(a.metrics), dict(b.metrics)).items()
        },
    }


def remove(words: Sequence[str], *, yes: bool) -> int:
    """Deletes runs with all that is in them, when told ``yes``; refuses all of them when one is no
    run or is running."""
    if not words:
        raise BadRequest(["runs remove: takes runs; give ssl-patches runs remove RUN"])
    runs = [_run_at(word) for word in words]
    if busy := [run for run in runs if run.state.kind == "running"]:
        raise BadRequest(
            [f"{run.path}: {run.state.note} works in it; stop it first" for run in busy]
        )
    if not yes:
        lines = [f"{run.path}: {run.state.kind}, {_size(run.path) / 1e6:.0f} MB" for run in runs]
        raise BadRequest([*lines, "runs remove: deletes these for good; give --yes to do it"])
    for run in runs:
        with locks.alone_in(run.path):
            gone = run.path.with_name(f".{run.path.name}.removed")
            run.path.rename(gone)  # at once no run any more, also when what follows is interrupted
            shutil.rmtree(gone)
            locks.forget(run.path)
        print(f"removed {run.path}")
    return 0


def _run_at(word: str) -> Run:
    place = Path(word)
    if place.is_symlink() or not ((place / CONFIG).is_file() or (place / ERROR).is_file()):
        raise BadRequest([f"{word}: is no run, it holds no {CONFIG}; see ssl-patches runs list"])
    return read(Path(*place.parts))


def _size(directory: Path) -> int:
    files = {
        (status.st_dev, status.st_ino): status.st_size
        for file in directory.rglob("*")
        if (status := file.lstat())
    }
    return sum(files.values())  # last.ckpt is a link to a step-*.ckpt: counted once


def _table(runs: Sequence[Run]) -> str:
    if not runs:
        return "no runs"
    metrics = list(dict.fromkeys(metric for run in runs for metric in run.metrics))[:METRICS_SHOWN]
    lines = [
        (
            "run",
            "state",
            "task",
            "encoder",
            "data",
            "seed",
            "images",
            "TFLOP",
            "seconds",
            *metrics,
            "",
        )
    ]
    for run in runs:
        amounts = [run.used.get(key) for key in ("images", "flops", "seconds")]
        spent = [
            f"{amount / (1e12 if place == 1 else 1):,.{place % 2}f}" if amount else "-"
            for place, amount in enumerate(amounts)
        ]
        reached = [
            f"{run.metrics[metric]:.1f}" if metric in run.metrics else "-" for metric in metrics
        ]
        traits = run.traits
        lines.append(
            (str(run.path), *(traits[key] for key in FILTERS), *spent, *reached, run.state.note)
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _differing(found: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    lines = []
    for title, pairs in found.items():
        lines += (
            [title]
            + [f"  {key}: {shown(a)} | {shown(b)}" for key, (a, b) in pairs.items()]
            + ([] if pairs else ["  equal"])
        )
    return "\n".join(lines)
