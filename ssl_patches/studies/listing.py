"""List, compare and remove runs: ``ssl-patches runs [list|diff|remove]``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ssl_patches.config import locks
from ssl_patches.config.baseline import is_supervised
from ssl_patches.config.messages import BadRequest, nearest, shown
from ssl_patches.config.mixture import nodes
from ssl_patches.config.ownership import refuse_what_no_run_wrote
from ssl_patches.config.plain_text import aligned, in_lines, tell
from ssl_patches.config.run_dir import CONFIG, changed_settings, delete
from ssl_patches.evaluation.verdict import SPOKEN_OF
from ssl_patches.studies.run_reader import (
    ERROR,
    NOT_PART_OF_A_RUN,
    Kind,
    Run,
    read_run,
    run_folders,
)

KINDS = tuple(kind for kind in get_args(Kind) if kind != "missing")
FILTERS = ("state", "task", "encoder", "data", "seed")
METRICS_SHOWN = 3


def run_traits(run: Run) -> dict[str, str]:
    """Return what a run can be filtered by: its state, task, encoder, data and seed."""
    if not run.settings:
        return {key: run.state.kind if key == "state" else "?" for key in FILTERS}
    data, task = run.settings["data"], "+".join(nodes(run.settings))
    source = data["_target_"].rpartition(".")[2].removesuffix("Source").lower()
    return {
        "state": run.state.kind,
        "task": "supervised" if is_supervised(run.settings) else task,
        "encoder": str(run.settings["encoder"].get("name", "?")),
        "data": Path(str(data.get("root", ""))).name or source,
        "seed": str(run.settings["seed"]),
    }


def as_dict(run: Run) -> dict[str, Any]:
    """Return a run as plain data, for ``--json``."""
    return {
        "run": str(run.path),
        **run_traits(run),
        "note": run.state.note,
        "budget_used": dict(run.used),
        "metrics": run.metrics,
    }


def runs_command(words: Sequence[str], *, as_json: bool, yes: bool) -> int:
    """Carry out ``ssl-patches runs`` and return its exit code. BadRequest for a bad request."""
    what, rest = (
        (words[0], words[1:])
        if words and words[0] in ("list", "diff", "remove")
        else ("list", words)
    )
    if yes and what != "remove":
        raise BadRequest([f"--yes: has no meaning for runs {what}; take it out"])
    if what == "remove":
        return remove_runs(rest, yes=yes)
    if what == "diff":
        found: Any = diff(rest)
        text = _differing(found)
    else:
        listed = matching(rest)
        found, text = [as_dict(run) for run in listed], _table(listed)
    tell(json.dumps(found) if as_json else text)
    return 0


def matching(words: Sequence[str]) -> list[Run]:
    """Find the runs below the folders among ``words`` (runs/ when there is none) that every
    KEY=VALUE fits. BadRequest for an unknown filter, state or folder."""
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
    folders = sorted({folder for place in places for folder in run_folders(place)})
    found = [
        read_run(folder)
        for folder in folders
        if "encoder" not in folder.name or (folder / CONFIG).is_file()
    ]
    return [
        run for run in found if all(run_traits(run)[key] == value for key, value in filters.items())
    ]


def diff(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Compare two runs: ``settings``, ``budget_used`` and ``results``, each key -> [of A, of B]
    where they are not equal. BadRequest unless ``words`` are two runs."""
    if len(words) != 2:
        raise BadRequest(
            [f"runs diff {' '.join(words)}: takes two runs; give ssl-patches runs diff A B"]
        )
    a, b = (_run_at(word) for word in words)
    first, second = (
        {key: value for key, value in run.settings.items() if key not in NOT_PART_OF_A_RUN}
        for run in (a, b)
    )
    settings = changed_settings(first, second)
    return {
        "settings": {key: list(pair) for key, pair in settings.items()},
        "budget_used": {
            key: list(pair) for key, pair in changed_settings(dict(a.used), dict(b.used)).items()
        },
        "results": {
            key: list(pair)
            for key, pair in changed_settings(dict(a.metrics), dict(b.metrics)).items()
        },
    }


def remove_runs(words: Sequence[str], *, yes: bool) -> int:
    """Delete runs with all that is in them, when told ``yes``. BadRequest, and nothing is deleted,
    when one is no run or is running."""
    if not words:
        raise BadRequest(["runs remove: takes runs; give ssl-patches runs remove RUN"])
    runs = [_run_at(word) for word in words]
    if busy := [run for run in runs if run.state.kind == "running"]:
        raise BadRequest(
            [f"{run.path}: {run.state.note} works in it; stop it first" for run in busy]
        )
    for run in runs:
        try:
            refuse_what_no_run_wrote(run.path, "runs remove")
        except ValueError as error:
            raise BadRequest(
                [str(error).replace("set another run_dir", "delete it by hand")]
            ) from None
    if not yes:
        lines = [f"{run.path}: {run.state.kind}, {_size(run.path) / 1e6:.0f} MB" for run in runs]
        raise BadRequest([*lines, "runs remove: deletes these for good; give --yes to do it"])
    for run in runs:
        with locks.exclusive(run.path):
            delete(run.path)
            locks.remove_locks(run.path)
        tell(f"removed {run.path}")
    return 0


def _run_at(word: str) -> Run:
    place = Path(word)
    if place.is_symlink() or not ((place / CONFIG).is_file() or (place / ERROR).is_file()):
        raise BadRequest([f"{word}: is no run, it holds no {CONFIG}; see ssl-patches runs list"])
    return read_run(Path(*place.parts))


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
    every = dict.fromkeys(metric for run in runs for metric in run.metrics)
    first = [metric for name in SPOKEN_OF for metric in every if metric.startswith(name)]
    metrics = list(dict.fromkeys([*first, *every]))[:METRICS_SHOWN]
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
        traits = run_traits(run)
        lines.append(
            (str(run.path), *(traits[key] for key in FILTERS), *spent, *reached, run.state.note)
        )
    return aligned(lines)


def _differing(found: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    lines = []
    for title, pairs in found.items():
        lines += (
            [title]
            + [f"  {key}: {shown(a)} | {shown(b)}" for key, (a, b) in pairs.items()]
            + ([] if pairs else ["  equal"])
        )
    return in_lines(lines)
