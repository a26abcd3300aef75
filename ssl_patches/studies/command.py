"""Run studies and sweeps: plan everything, refuse before anything runs, run what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ssl_patches.config.files import trusted_everywhere
from ssl_patches.config.hydra_words import of_hydra, our_word
from ssl_patches.config.messages import BadRequest, Say
from ssl_patches.config.plain_text import aligned, in_lines, tell
from ssl_patches.config.run_dir import stamp
from ssl_patches.studies import design, planning, ray_cluster, slurm
from ssl_patches.studies.advised import Advice
from ssl_patches.studies.jobs import Job, Plan

if TYPE_CHECKING:  # both load torch
    from ssl_patches.studies.estimate import Estimator, RunCost
    from ssl_patches.studies.object_store import ObjectStore
    from ssl_patches.studies.worker import JobStatus

FOLDER = (
    "a folder of this machine; give out=runs/NAME (launcher=ray ray.store=ADDRESS keeps runs in an"
    " object store, and fetches them to it)"
)
LAUNCHERS = ("local", "slurm", "ray")


@dataclass
class Settings:
    """Words of the command that are about the study itself; all others are overrides of its
    runs."""

    out: Path | None = None
    workers: int | None = None
    launcher: str = "local"
    slurm: dict[str, Any] = field(default_factory=dict)
    ray: dict[str, Any] = field(default_factory=dict)


def study_command(
    words: Sequence[str], *, config_dirs: Sequence[Path], dry_run: bool, say: Say
) -> int:
    """Carry out ``ssl-patches study STUDY [KEY=VALUE ...]``. Return the exit code.

    A dry run runs nothing that only study.yaml names. BadRequest before anything is written.
    """
    places = [word for word in words if "=" not in word]
    if len(places) != 1:
        raise BadRequest(
            [f"study {' '.join(places)}: takes one study; give ssl-patches study experiments/NAME"]
        )
    settings, rest, problems = settings_of([word for word in words if "=" in word])
    with _beside(problems):
        asked = design.read_study(Path(places[0]), rest, config_dirs=config_dirs)
        typed = [word.partition("=")[2] for word in rest if "._target_=" in word]
        allowed = (*trusted_everywhere(config_dirs=config_dirs), *typed) if dry_run else None
        plan = planning.plan(
            asked,
            settings.out or Path("runs") / asked.name,
            config_dirs=config_dirs,
            allowed=allowed,
        )
    _tell_former(plan, say)
    if dry_run:
        tell(listing(plan, estimated=True))
        return 0
    return run(plan, settings, say=say)


def sweep_command(
    words: Sequence[str], *, config_dirs: Sequence[Path], dry_run: bool, say: Say
) -> int:
    """Carry out ``ssl-patches pretrain -m [KEY=A,B ...]`` and return the exit code. The runs lie in
    ``run_dir``, or in runs/sweep-TIME."""
    own, words = _apart(words, ("run_dir",))
    settings, rest, problems = settings_of(words)
    out = Path(own["run_dir"]) if "run_dir" in own else Path("runs") / f"sweep-{stamp()}"
    if "://" in own.get("run_dir", ""):
        problems.append(f"run_dir={own['run_dir']}: must be {FOLDER.replace('out=', 'run_dir=')}")
    with _beside(problems):
        asked = design.sweep(rest, name=out.name, config_dirs=config_dirs)
        advice = Advice()
        plan = planning.plan(asked, out, below=".", config_dirs=config_dirs, advice=advice)
    advice.tell(say)
    _tell_former(plan, say)
    if dry_run:
        tell(listing(plan, estimated=True))
        return 0
    return run(plan, settings, say=say)


@contextmanager
def _beside(problems: Sequence[str]) -> Iterator[None]:
    """Tell ``problems`` together with those that are found in the block. BadRequest where there are
    any."""
    try:
        yield
    except BadRequest as error:
        raise BadRequest([*problems, *error.problems]) from None
    if problems:
        raise BadRequest(problems)


def _tell_former(plan: Plan, say: Say) -> None:
    """Say where runs are taken for finished by the rule of before."""
    jobs = [*plan.trials, *(job for run in plan.runs for job in run.choices)]
    if former := sum(job.former for job in jobs):
        say(
            f"{former} runs were made when images were known by name and size alone; they are taken"
            " as they are (another out= runs anew)"
        )


def settings_of(words: Sequence[str]) -> tuple[Settings, list[str], list[str]]:
    """Split the settings of the study from the other words. The third are problems: values that
    cannot be meant, and Hydra's own settings, for which there are words of ours."""
    own, rest = _apart(words, tuple(each.name for each in fields(Settings)))
    settings, problems = Settings(), [our_word(word) for word in rest if of_hydra(word)]
    rest = [word for word in rest if not of_hydra(word)]
    for key, raw in own.items():
        value = yaml.safe_load(raw) if raw else None
        if key.startswith("slurm."):
            settings.slurm[key.removeprefix("slurm.")] = value
        elif key.startswith("ray."):
            settings.ray[key.removeprefix("ray.")] = value
        elif key == "out" and raw and "://" not in raw:
            settings.out = Path(raw)
        elif key == "workers" and isinstance(value, int) and value >= 1:
            settings.workers = value
        elif key == "launcher" and raw in LAUNCHERS:
            settings.launcher = raw
        else:
            rules = {
                "workers": "a whole number from 1; give workers=2",
                "launcher": f"one of {', '.join(LAUNCHERS)}",
            }
            problems.append(f"{key}={raw}: must be {rules.get(key, FOLDER)}")
    problems += ray_cluster.problems_of_ray(settings.ray)
    problems += ray_cluster.what_ray_needs() if settings.launcher == "ray" else []
    for launcher, given in (("slurm", settings.slurm), ("ray", settings.ray)):
        if given and settings.launcher != launcher:
            problems.append(
                f"{launcher}.{next(iter(given))}: has no effect without launcher={launcher}; give"
                " that too"
            )
    return settings, rest, problems


def _apart(words: Sequence[str], keys: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """KEY -> value of the words whose key, or whose part before the dot, is among ``keys``; and all
    other words."""
    own, rest = {}, []
    for word in words:
        key, sign, value = word.partition("=")
        if sign and key.partition(".")[0] in keys:
            own[key] = value
        else:
            rest.append(word)
    return own, rest


def run(plan: Plan, settings: Settings, *, say: Say) -> int:
    """Run what is missing of ``plan`` and print how it stands. Return 0 when all is finished, else
    1. BadRequest when ``out`` cannot be made, and where a cluster or store refuses."""
    out = Path(plan.out)
    from ssl_patches.studies.store_mark import only_driver
    from ssl_patches.studies.worker import clear_errors, job_statuses

    with ExitStack() as until_the_end:
        told, store = "", None
        if settings.launcher == "slurm":
            slurm.check_slurm()
        if settings.launcher == "ray":
            store = ray_cluster.object_store_of(settings.ray)
            told = ray_cluster.begin_ray(settings.ray)
        if store:
            until_the_end.enter_context(only_driver(store))
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadRequest(
                [f"out={out}: cannot be made ({error.strerror}); give another folder"]
            ) from None
        clear_errors(plan)
        say(f"{plan.name}: {len(plan.runs)} runs, {_trials(plan)} -> {out}")
        _launch(plan, settings, told, store, say=say)
    tell(listing(plan))
    left = [status for status in job_statuses(plan) if status.state.kind != "finished"]
    again = ["      the same command again tries what is left"] if left else []
    tell(in_lines(["", f"next  ssl-patches compare {out}", *again]))
    return 1 if left else 0


def _launch(
    plan: Plan, settings: Settings, told: str, store: ObjectStore | None, *, say: Say
) -> None:
    """Run a plan where the settings say. ``told``: of the cluster; ``store``: keeps its runs."""
    from ssl_patches.studies import launchers, ray_tasks

    if settings.launcher == "slurm":
        workers = settings.workers or 1
        job_id = slurm.submit(plan, workers=workers, settings=settings.slurm)
        say(
            f"Slurm job {job_id}, {workers} workers; it goes on without this process,"
            f" `scancel {job_id}` ends it"
        )
        launchers.watch(plan, alive=lambda: slurm.in_queue(job_id), say=say)
    elif settings.launcher == "ray":
        logs = f"{store.url}/logs, and comes when they end" if store else Path(plan.out, "logs")
        say(f"{told}; what runs say is in {logs}")
        ray_tasks.run_on_ray(
            plan, workers=settings.workers, settings=settings.ray, store=store, say=say
        )
    elif settings.workers and settings.workers > 1:
        launchers.processes(plan, workers=settings.workers, say=say)
    else:
        launchers.here(plan, say=say)


def _cost(status: JobStatus, choices: Mapping[str, Job], estimator: Estimator) -> RunCost:
    """Estimate a run or a trial, or at most what the trials of a search take."""
    from ssl_patches.studies.estimate import RunCost

    one = estimator((status.job or choices[status.name]).cfg)
    if status.search is None:
        return one
    times = status.search.count or (status.search.flops or 0.0) / one.flops
    return RunCost(one.images * times, one.flops * times, one.seconds * times)


def _trials(plan: Plan) -> str:
    """Say how many trials there are, or what ends them."""
    if not (first := next(iter(plan.searches), None)):
        return f"{len(plan.trials)} trials"
    each = f"{first.count} trials" if first.count else f"trials of {first.flops:g} FLOPs together"
    return f"{len(plan.searches)} searches of {each}"


def listing(plan: Plan, *, estimated: bool = False) -> str:
    """Return the state of each trial and run as a table. ``estimated``: with the time that each
    takes, measured here and now."""
    from ssl_patches.studies.estimate import Estimator
    from ssl_patches.studies.worker import job_statuses
    from ssl_patches.training.cost import duration

    found, estimator, total = job_statuses(plan), Estimator(), 0.0
    lines = [("", "state", *(("images", "TFLOP", "time") if estimated else ()), "")]
    choices = {run.name: run.choices[0] for run in plan.runs}
    choices |= {f"search {each.name}": each.choices[0] for each in plan.searches}
    for status in found:
        cost: tuple[str, ...] = ()
        if estimated:
            estimate = _cost(status, choices, estimator)
            total += 0 if status.state.kind == "finished" else estimate.seconds
            cost = (
                f"{estimate.images:,.0f}",
                f"{estimate.flops / 1e12:.1f}",
                duration(estimate.seconds),
            )
        lines.append((status.name, status.state.kind, *cost, status.state.note))
    text: list[str] = [aligned(lines)]
    kinds = [status.state.kind for status in found]
    text += ["", ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))]
    if estimated:
        text.append(
            f"left to train: about {duration(total)} in one process here; export and probes of each"
            " run come on top"
        )
    return in_lines(text)
