"""Plan a study: what runs, under which key, in which directory.

The key (``jobs.run_key``) leaves out what changes no result, so a study may be moved, and machines
that keep the images elsewhere work on the same runs. A run that is asked for again, from
another study.yaml too, is recognised and not made twice. Older runs are kept under a key that knew
names and sizes of images, not their content: they are found under that one, and taken as they are.

A tuned run is one of several ``choices``; the trials that its group shares say which. Where Optuna
chooses, they are the combinations of the lists, and numbers from ranges are filled in later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config import baseline
from ssl_patches.config.messages import BadRequest
from ssl_patches.studies.advised import Advice
from ssl_patches.studies.design import budget_words
from ssl_patches.studies.jobs import (
    Job,
    Plan,
    Search,
    StudyRun,
    name_from,
)
from ssl_patches.studies.jobs_of_words import JobComposer
from ssl_patches.studies.records import Design, Value


def plan(
    design: Design,
    out: Path,
    *,
    below: str = "cells",
    config_dirs: Sequence[Path | str] = (),
    allowed: Sequence[str] | None = None,
    advice: Advice | None = None,
) -> Plan:
    """Compose and check every run; nothing is written. BadRequest with all problems of all runs.

    ``below``: where the runs lie in ``out``. ``allowed``: the ``_target_``s that may be named;
    None: any. ``advice``: chooses what is left open; None: the defaults stand.
    """
    composer = JobComposer(design, config_dirs, out, allowed, advice)
    trials: list[Job] = []
    searches: dict[str, Search] = {}
    runs: list[StudyRun] = []
    for chosen in _combinations(design):
        group = [value for axis, value in chosen.items() if axis != "seed"]
        labels = _labels(chosen, but="seed")
        name = name_from(_labels(chosen))
        words = [*_words(chosen.values()), *budget_words(design)]
        axes = {axis: value.label for axis, value in chosen.items()}
        if design.tuning and design.tuning.space:
            of_group = name_from(labels)
            if of_group not in searches and (
                search := composer.search(of_group, _trial_words(design, group), design.tuning)
            ):
                searches[of_group] = search
            choices = composer.choices(name, words, design.tuning.space, below=below)
            runs.append(StudyRun(name, axes, choices, [], of_group))
            continue
        tried = design.tuning.trials if design.tuning else ()
        names = [name_from([*labels, *value.words]) for value in tried]
        for trial, value in zip(names, tried, strict=True):
            if trial not in {job.name for job in trials}:
                trials += composer.job(
                    trial, [*_trial_words(design, group), *value.words], below="tune"
                )
        choices = [
            job
            for value in tried or [Value("", ())]
            for job in composer.job(name, [*words, *value.words], below=below)
        ]
        runs.append(StudyRun(name, axes, choices, names))
    problems = composer.problems or _twice(runs)
    if problems:
        raise BadRequest(problems)
    return Plan(design.name, str(out), trials, runs, list(searches.values()))


def _trial_words(design: Design, group: Sequence[Value]) -> list[str]:
    """Return what a trial of a group has besides its tuned settings."""
    assert design.tuning is not None
    share, seed = design.tuning.share, design.tuning.seed
    return [*_words(group), *budget_words(design, share), f"seed={seed}"]


def _combinations(design: Design) -> Iterator[dict[str, Value]]:
    yield from design.combinations()
    if design.supervised:  # whatever the task is, it is replaced
        for chosen in design.combinations(but="task"):
            yield {"task": Value("supervised", (baseline.WORD,)), **chosen}


def _labels(chosen: Mapping[str, Value], *, but: str | None = None) -> list[str]:
    """Name what tells runs apart: tasks and encoders by names, everything else with its key."""
    named = ("task", "encoder", "data", "views", "sampler")
    return [
        value.label if axis in named else f"{axis}={value.label}"
        for axis, value in chosen.items()
        if axis != but
    ]


def _words(values: Any) -> list[str]:
    return [word for value in values for word in value.words]


def _twice(runs: Sequence[StudyRun]) -> list[str]:
    """List combinations that are the same run under two names."""
    seen: dict[str, str] = {}
    problems: list[str] = []
    for run in runs:
        keys = {job.key for job in run.choices}
        problems += [
            f"{run.name}: is the same run as {seen[key]}; take one of them out of axes"
            for key in keys
            if key in seen
        ]
        seen |= dict.fromkeys(keys, run.name)
    return problems
