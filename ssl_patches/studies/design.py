"""Read the design of a study: tasks x encoders x seeds at one budget, as ``study.yaml`` says it and
the command line changes it.

    name: tasks_mine                # the folder's name where it is left out
    base: {data: cifar10, image_size: 32, encoder: vit_tiny_6}   # words of `pretrain`, or a list
    axes:                           # every combination is a run
      task: [masked, position, jigsaw+masked]
      encoder: [vit_tiny, {resnet: {encoder: resnet18, optimizer: sgd}}]   # overrides with a name
      seed: range(0,3)              # or [0, 1, 2]; Hydra's range, choice, glob
    without: [{task: position, encoder: resnet}]   # combinations that are not wanted
    budget: 1e13                    # FLOPs, everything executed; or {images: 1e5}, {seconds: 600}
    supervised: true                # also the same encoders, trained from scratch on the labels
    tune:                           # the same number of trials for each combination but seed
      values: {optimizer.base_lr: [1e-3, 2e-3]}
      share: 0.2                    # of the budget
      seed: 1000

A range below ``tune.values``, such as ``{low: 1e-4, high: 1e-2, log: true}``, has no end of values:
Optuna chooses ``trials: 8`` of them, or as many as fit into ``flops: 1e13``, and ends early those
that lag behind (``prune: false`` lets all end). With one of these two, lists are chosen from too.

Random weights and raw pixels need no run of their own: every run is evaluated beside them. Words of
the command line: a key of an axis replaces its values (``task=jigsaw seed=0,1``), ``budget=1e12``
(FLOPs) and ``budget.KEY=`` the budget, ``tune.trials=4`` a key of ``tune``, ``supervised=true``
asks for that baseline, all others are added to ``base``.

Trap: a study.yaml is code, as a script is: it may name any class of any package. Running the study
runs it; ``--dry-run`` does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.check import check
from ssl_patches.config.messages import BadRequest, nearest, shown
from ssl_patches.config.schema import STUDY, TUNE
from ssl_patches.config.sweeps import Interval, read_sweep, respelled
from ssl_patches.config.words import spelled
from ssl_patches.studies import space
from ssl_patches.studies.clashes import clashes
from ssl_patches.studies.records import Design, Value
from ssl_patches.studies.tune_section import above_zero, read_tuning, retuned

FILE = "study.yaml"
BUDGETS = ("images", "epochs", "flops", "seconds")
DEFAULTS: dict[str, Any] = {
    "base": [],
    "without": [],
    "budget": None,
    "supervised": False,
    "tune": None,
}
TUNE_DEFAULTS: dict[str, Any] = {"trials": None, "flops": None, "prune": True}


def read_study(
    place: Path, words: Sequence[str] = (), *, config_dirs: Sequence[Path | str] = ()
) -> Design:
    """Read the study in ``place`` (a folder with study.yaml, or a YAML) as ``words`` change it.
    BadRequest with all problems."""
    file = place / FILE if place.is_dir() else place
    if not file.is_file():
        raise BadRequest(
            [f"study {place}: no such file, {file} is looked for; give experiments/NAME or a YAML"]
        )
    given = {"name": _usual_name(file), **DEFAULTS, **config.load(file, aliases=True)}
    problems: list[str] = []
    words, given["tune"] = retuned(words, given["tune"], problems)
    given = _checked(given, problems, file)
    axes = {
        key: tuple(_values(key, values, problems, config_dirs))
        for key, values in given["axes"].items()
    }
    without = tuple(
        {key: spelled(value) for key, value in left_out.items()} for left_out in given["without"]
    )
    for left_out in without:
        labels = {key: {value.label for value in axes.get(key, ())} for key in left_out}
        wrong = [f"{key}: {label}" for key, label in left_out.items() if label not in labels[key]]
        problems += [
            f"without: {{{pair}}} is on no axis; name an axis and one of its values"
            for pair in wrong
        ]
    budget = _budget(given["budget"], problems)
    tuning = read_tuning(given["tune"], problems, config_dirs)
    design = Design(
        given["name"], _words(given["base"]), axes, budget, given["supervised"], tuning, without
    )
    design = changed(design, words, config_dirs=config_dirs)
    problems += clashes(design)
    if problems:
        raise BadRequest([f"{file}: {problem}" for problem in problems])
    return design


def _checked(given: dict[str, Any], problems: list[str], file: Path) -> dict[str, Any]:
    """Check the keys of study.yaml. BadRequest where one is no key, or holds another kind."""
    wrong: list[str] = []
    if isinstance(given.get("axes"), Mapping):
        given = {**given, "axes": space.cut_off(given["axes"], "axes", problems)}
    if isinstance(tune := given.get("tune"), Mapping):
        tune = {**TUNE_DEFAULTS, **tune}
        if isinstance(tune.get("values"), Mapping):
            tune["values"] = space.cut_off(tune["values"], "tune.values", problems)
        try:
            tune = check({"tune": tune}, schema={"tune": TUNE})["tune"]
        except BadRequest as error:
            wrong += error.problems
    try:
        given = check({**given, "tune": None if isinstance(tune, Mapping) else tune}, schema=STUDY)
    except BadRequest as error:
        wrong = [*error.problems, *wrong]
    if wrong:
        raise BadRequest([f"{file}: {problem}" for problem in (*wrong, *problems)])
    return {**given, "tune": tune}


def name_of(file: Path) -> str:
    """Return the name of the study in a YAML file. BadRequest where that cannot be read."""
    return str(config.load(file).get("name") or _usual_name(file))


def _usual_name(file: Path) -> str:
    return file.resolve().parent.name if file.name == FILE else file.stem


def sweep(words: Sequence[str], *, name: str, config_dirs: Sequence[Path | str] = ()) -> Design:
    """Make a study of ``pretrain -m WORDS``: each override with several values is an axis.
    BadRequest with all problems."""
    design = changed(Design(name, (), {}), words, config_dirs=config_dirs)
    if problems := clashes(design):
        raise BadRequest(problems)
    return design


def changed(
    design: Design, words: Sequence[str], *, config_dirs: Sequence[Path | str] = ()
) -> Design:
    """Change ``design`` as words of the command line say."""
    base, axes, budget = list(design.base), dict(design.axes), design.budget
    for text, values in config.sweeps(words, config_dirs=config_dirs):
        key, _, raw = text.partition("=") if values is None else (text, "", "")
        if values is not None or key in axes:
            named = {value.label: value for value in axes.get(key, ())}
            axes[key] = tuple(
                named.get(value) or Value(value, (f"{key}={value}",)) for value in values or [raw]
            )
        elif text in ("supervised=true", "supervised=false"):
            design = replace(design, supervised=text.endswith("true"))
        elif key == "budget" and (flops := above_zero(raw)):  # as study.yaml says it
            budget = ("flops", flops)
            base = [word for word in base if not word.startswith("budget.")]
        elif key.startswith("budget.") and raw != "null":
            budget = None
            base = [word for word in base if not word.startswith("budget.")] + _only(
                key.removeprefix("budget."), raw
            )
        else:
            base.append(text)
    return replace(design, base=tuple(base), axes=axes, budget=budget)


def budget_words(design: Design, share: float = 1.0) -> list[str]:
    """Write the overrides that set the budget, or ``share`` of it."""
    key, amount = design.budget or (None, 0.0)
    return _only(key, spelled(amount * share)) if key else []


def _only(key: str, amount: str) -> list[str]:
    """Set this budget and no other: an experiment in ``base`` may set another one."""
    return [f"budget.{other}={amount if other == key else 'null'}" for other in BUDGETS]


def _words(base: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    if isinstance(base, Mapping):
        return tuple(f"{key}={spelled(value)}" for key, value in base.items())
    return tuple(base)


def _values(
    key: str, given: list[Any] | str, problems: list[str], config_dirs: Sequence[Path | str]
) -> list[Value]:
    """Read the values of an axis: a list, or a sweep in Hydra's grammar."""
    if isinstance(given, list):
        return [_value(key, value, problems) for value in given]
    try:
        read = read_sweep(f"{key}={given}", config_dirs=config_dirs)
    except BadRequest as error:
        problems += [f"axes.{problem}" for problem in error.problems]
        return [Value("?", ())]  # no second line about an axis without values
    if isinstance(read, list):
        return [Value(value, (f"{key}={value}",)) for value in map(respelled, read)]
    problems.append(
        f"axes.{key}={given}: an interval has no end of values, and an axis needs each; list them,"
        f' or let Optuna choose: values: {{{key}: "{given}"}} below tune'
        if isinstance(read, Interval)
        else f"axes.{key}={shown(given)}: must be a list, or several values in Hydra's grammar;"
        f" give {key}: [{given}], or {key}: range(0,3)"
    )
    return [Value("?", ())]


def _value(key: str, value: Any, problems: list[str]) -> Value:
    """Read a plain value of the axis, or a mapping with one name and its overrides."""
    if not isinstance(value, Mapping) or "." in key:
        return Value(spelled(value), (f"{key}={spelled(value)}",))
    label, words = next(iter(value.items()), ("", None))
    if len(value) != 1 or not isinstance(words, Mapping | list):
        problems.append(
            f"axes.{key}: {shown(value)} must be one name and its overrides, such as NAME: {{{key}:"
            " VALUE}"
        )
        return Value(str(label), ())
    return Value(str(label), _words(words))


def _budget(
    given: float | Mapping[str, float] | None, problems: list[str]
) -> tuple[str, float] | None:
    if given is None:
        return None
    (key, amount), *more = (
        given.items() if isinstance(given, Mapping) and given else [("flops", given)]
    )
    if key not in BUDGETS:
        problems.append(f"budget.{key}: unknown key; {nearest(key, BUDGETS, prefix='budget.')}")
    if more or not isinstance(amount, int | float) or not amount > 0:
        problems.append(
            f"budget={shown(given)}: must be one amount above 0; give budget: {{flops: 1e13}}"
        )
        return None
    return key, float(amount)
