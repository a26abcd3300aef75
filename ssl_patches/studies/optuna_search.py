"""Let Optuna choose settings and end what lags: TPE (Bergstra et al., 2011) and ASHA (Li et al.,
2020). Needs the extra ``[tune]``.

Every answer is a function of the trials before and of a seed, none of a state in memory: a search
that is killed asks the same again, and any number of workers makes the same trials. The price is
that trials of one group follow each other; groups run side by side.

``optuna.journal`` is Optuna's own file of a study, for its dashboard and its Python interface too.
A worker has the lock of the search before it writes. Trap: a worker that is killed may leave half a
line, which Optuna refuses once others follow, and Optuna's own lock, for which it waits: both go
when the next one opens the journal.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ssl_patches.studies.space import Tuned

JOURNAL = "optuna.journal"
AT_RANDOM = 4
"""First trials that are drawn at random. Why: Optuna's 10 would be all of a short search."""
WHOLE = 4
"""Resource of a whole trial, as ASHA counts it; its rungs are 1 and 2."""


@dataclass(frozen=True)
class Tried:
    """A trial. ``value``: percent, None where it diverged, was ended, or goes on. ``rungs``:
    resource -> percent."""

    number: int
    chosen: Mapping[str, Any]
    state: str  # running, complete, pruned or diverged
    value: float | None = None
    rungs: Mapping[int, float] = field(default_factory=dict)
    images: int = 0
    flops: float = 0.0


def installed() -> bool:
    """Tell whether Optuna is there."""
    return importlib.util.find_spec("optuna") is not None


def propose(
    space: Sequence[Tuned], past: Sequence[Tried], *, number: int, seed: int
) -> dict[str, Any]:
    """Choose a value for each setting, key -> value, by TPE from the trials before.

    The first ``AT_RANDOM`` depend on seed and number alone: they are the same for every task.
    """
    optuna = _optuna()
    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=AT_RANDOM)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_frozen(space, each) for each in past])
    chosen = study.ask(_distributions(space)).params
    return {
        each.key: each.number(chosen[each.key]) if each.is_range else chosen[each.key]
        for each in space
    }


def lags(past: Sequence[Tried], rungs: Mapping[int, float]) -> bool:
    """Tell whether a trial with these values, resource -> percent, is to end at the last of them.

    Of the trials that reached this rung, it included, the better half goes on.
    """
    optuna = _optuna()
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.add_trials([_frozen((), each) for each in past])
    *before, last = sorted(rungs)
    known = _rung_attributes({resource: rungs[resource] for resource in before})
    running = optuna.trial.TrialState.RUNNING
    study.add_trial(
        optuna.trial.create_trial(
            state=running, intermediate_values=dict(rungs), system_attrs=known
        )
    )
    assert last == study.trials[-1].last_step
    return pruner.prune(study, study.trials[-1])


def importances(space: Sequence[Tuned], past: Sequence[Tried]) -> dict[str, float]:
    """Return how much of the differences between trials each setting explains, 0 to 1, by fANOVA.

    Compared is what all trials reached: the first rung where some were ended. Empty where there are
    fewer than two settings or four trials to tell them apart.
    """
    pruned = any(each.state == "pruned" for each in past)
    values = [
        (each, each.rungs.get(1) if pruned else each.value)
        for each in past
        if each.state in ("complete", "pruned")
    ]
    known = [(each, value) for each, value in values if value is not None]
    if len(space) < 2 or len(known) < 4 or len({value for _, value in known}) < 2:
        return {}
    optuna = _optuna()
    study = optuna.create_study(direction="maximize")
    for each, value in known:
        tried = Tried(each.number, each.chosen, "complete", value)
        study.add_trial(_frozen(space, tried))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: round(float(share), 4) for key, share in found.items()}


class Journal:
    """Keep the trials of a search in ``optuna.journal``; whoever opens it has the search's lock."""

    def __init__(self, folder: Path, name: str, space: Sequence[Tuned]) -> None:
        optuna = _optuna()
        file = (folder / JOURNAL).resolve()
        _tidy(file)
        lock = optuna.storages.journal.JournalFileOpenLock(str(file))
        backend = optuna.storages.journal.JournalFileBackend(str(file), lock_obj=lock)
        self.storage = optuna.storages.JournalStorage(backend)
        self.study = optuna.create_study(
            study_name=name, storage=self.storage, direction="maximize", load_if_exists=True
        )
        self.id = self.storage.get_study_id_from_name(name)
        self.space = space

    def trials(self) -> list[Tried]:
        """Return all trials so far, by number."""
        return [_tried(each) for each in self.study.trials]

    def begin(self, chosen: Mapping[str, Any]) -> None:
        """Note a trial before it runs."""
        self.study.add_trial(_frozen(self.space, Tried(0, chosen, "running")))

    def end(self, tried: Tried) -> None:
        """Note how a trial ended."""
        optuna, number = _optuna(), tried.number
        trial = self.storage.get_trial_id_from_study_id_trial_number(self.id, number)
        for resource, value in _steps(tried).items():
            self.storage.set_trial_intermediate_value(trial, resource, value)
        for key in ("images", "flops"):
            self.storage.set_trial_user_attr(trial, key, vars(tried)[key])
        self.storage.set_trial_user_attr(trial, "ended", tried.state)
        states = optuna.trial.TrialState
        complete = tried.state == "complete"
        self.study.tell(
            number,
            tried.value if complete else None,
            state=states.COMPLETE if complete else states.PRUNED,
        )


def _optuna() -> ModuleType:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it does is said by the worker
    return optuna


def _tidy(file: Path) -> None:
    """Remove half a line at the end, and the lock of a worker that was killed."""
    with suppress(FileNotFoundError):
        Path(f"{file}.lock").unlink()
    with suppress(FileNotFoundError):
        whole = file.read_bytes().rfind(b"\n") + 1
        if whole < file.stat().st_size:
            os.truncate(file, whole)


def _distributions(space: Sequence[Tuned]) -> dict[str, Any]:
    of = _optuna().distributions
    return {
        each.key: of.CategoricalDistribution(each.values)
        if each.values
        else of.IntDistribution(int(each.low), int(each.high), log=each.log)
        if each.whole
        else of.FloatDistribution(each.low, each.high, log=each.log)
        for each in space
    }


def _steps(tried: Tried) -> dict[int, float]:
    whole = {WHOLE: tried.value} if tried.value is not None else {}
    return {**tried.rungs, **whole}


def _rung_attributes(rungs: Mapping[int, float]) -> dict[str, float]:
    """Write the rungs that a trial has passed as Optuna's pruner does."""
    return {
        f"completed_rung_{resource.bit_length() - 1}": value for resource, value in rungs.items()
    }


def _frozen(space: Sequence[Tuned], tried: Tried) -> Any:
    """Return a trial as Optuna has it. ``space`` empty: without what was chosen."""
    of = _optuna().trial
    state = {"running": of.TrialState.RUNNING, "complete": of.TrialState.COMPLETE}
    return of.create_trial(
        state=state.get(tried.state, of.TrialState.PRUNED),
        value=tried.value if tried.state == "complete" else None,
        params={each.key: tried.chosen[each.key] for each in space},
        distributions=_distributions(space),
        intermediate_values=_steps(tried),
        system_attrs=_rung_attributes(_steps(tried)),
    )


def _tried(trial: Any) -> Tried:
    states = _optuna().trial.TrialState
    state, complete = "running", trial.state == states.COMPLETE
    if trial.state.is_finished():
        state = "complete" if complete else trial.user_attrs["ended"]
    rungs = {step: value for step, value in trial.intermediate_values.items() if step != WHOLE}
    return Tried(
        trial.number,
        dict(trial.params),
        state,
        trial.value if complete else None,
        rungs if state != "running" else {},
        trial.user_attrs.get("images", 0),
        trial.user_attrs.get("flops", 0.0),
    )
