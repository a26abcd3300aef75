"""Run a search, trial after trial, and say what it chose.

``search.json`` in its folder says all that others have to know: the trials so far, which one is the
best, how much each setting matters. ``optuna.journal`` beside it is Optuna's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ssl_patches.config.atomic import write_json
from ssl_patches.config.messages import Say
from ssl_patches.config.plain_text import in_lines
from ssl_patches.config.run_dir import CELL
from ssl_patches.studies import optuna_search, rungs, tuning
from ssl_patches.studies.jobs import Job, Plan, Search, StudyRun
from ssl_patches.studies.optuna_search import Journal, Tried
from ssl_patches.studies.run_reader import SEARCH, State, run_state
from ssl_patches.studies.space import label_of
from ssl_patches.studies.trials import run_trial


def run_search(plan: Plan, search: Search, *, say: Say) -> None:
    """Run the trials that are missing, in this process; it has the lock of the search."""
    folder = plan.directory(search)
    journal = Journal(folder, search.name, search.space)
    while True:
        tried = journal.trials()
        past = [each for each in tried if each.state != "running"]
        _write(search, folder, past)
        if is_enough(search, past):
            return
        if len(tried) == len(past):
            chosen = optuna_search.propose(search.space, past, number=len(past), seed=search.seed)
            journal.begin(chosen)
            tried = journal.trials()
        job = search.trial(tried[-1].chosen)
        place = plan.directory(job)
        label = label_of(search.space, tried[-1].chosen)
        say(in_lines(["", f"-- trial {len(past)} of {search.name}: {label}"]))
        if run_state(place).kind != "finished":
            place.mkdir(parents=True, exist_ok=True)
            about = {"study": plan.name, "name": job.name, "key": job.key, "words": job.words}
            write_json(place / CELL, {**about, "command": job.command})
            lags = partial(optuna_search.lags, past) if search.prune else None
            run_trial(job, place, say=say, lags=lags)
        journal.end(_ended(tried[-1], place))


def is_enough(search: Search, past: Sequence[Tried]) -> bool:
    """Tell whether a search needs no more trials: it has its number, or one more could take more
    FLOPs than are left."""
    if search.count is not None:
        return len(past) >= search.count
    assert search.flops is not None
    most, spent = max((each.flops for each in past), default=0.0), sum(each.flops for each in past)
    return bool(past) and spent + most > search.flops


def _ended(running: Tried, place: Path) -> Tried:
    found = json.loads((place / tuning.RESULT).read_text(encoding="utf-8"))
    state = next((each for each in ("diverged", "pruned") if found.get(each)), "complete")
    values = {
        int(resource): rung["value"]
        for resource, rung in rungs.read_rungs(place / rungs.FILE).items()
        if rung["value"] is not None
    }
    return Tried(
        running.number,
        running.chosen,
        state,
        found["value"],
        values,
        found["images"],
        found["flops"],
    )


def _write(search: Search, folder: Path, past: Sequence[Tried]) -> None:
    counted = past[: search.count]
    best = tuning.winner([each.value for each in counted])
    ended = is_enough(search, past)
    write_json(
        folder / SEARCH,
        {
            "name": search.name,
            "asked": _asked(search),
            "finished": ended,
            "trials": [
                {
                    **{key: vars(each)[key] for key in ("number", "state", "value", "images")},
                    "flops": each.flops,
                    "chosen": dict(each.chosen),
                    "label": label_of(search.space, each.chosen),
                    "rungs": {str(key): value for key, value in each.rungs.items()},
                }
                for each in counted
            ],
            "best": best,
            "importances": optuna_search.importances(search.space, counted) if ended else {},
        },
    )


def _asked(search: Search) -> dict[str, Any]:
    return {"trials": search.count, "flops": search.flops}


def read_search(plan: Plan, search: Search) -> dict[str, Any]:
    """Read what a search has written; empty where it has not begun, or cannot be read."""
    try:
        found = json.loads((plan.directory(search) / SEARCH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def search_state(plan: Plan, search: Search) -> State:
    """Tell the state of a search; a finished one has as many trials as are asked for now."""
    found = read_search(plan, search)
    trials = found.get("trials", [])
    if found.get("finished") and found.get("asked") == _asked(search):
        best = found["best"]
        told = "all diverged"
        if best is not None:
            told = f"best {trials[best]['label']}, {trials[best]['value']:.1f} %"
        return State("finished", f"{len(trials)} trials, {told}")
    state = run_state(plan.directory(search))
    if state.kind == "missing" and found:
        return State("stopped", f"{len(trials)} trials so far")
    return state


def chosen_job(plan: Plan, run: StudyRun, search: Search) -> Job | None:
    """Return the job of a run with what a finished search chose; None where all diverged."""
    found = read_search(plan, search)
    if found["best"] is None:
        return None
    below = run.choices[0].place.rpartition("/")[0]
    return search.job(run.choices, found["trials"][found["best"]]["chosen"], run.name, below)


def values_by_label(plan: Plan, search: Search) -> dict[str, float | None]:
    """Return what was tried -> what it reached in percent; None for what diverged or was ended."""
    return {each["label"]: each["value"] for each in read_search(plan, search).get("trials", [])}
