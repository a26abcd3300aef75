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

import importlib.util
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ssl_patches import config
from ssl_patches.config.check import check
from ssl_patches.config.messages import BadRequest, nearest, shown
from ssl_patches.config.schema import STUDY, TUNE
from ssl_patches.config.sweeps import Interval, read_sweep, respelled
from ssl_patches.config.words import spelled
from ssl_patches.studies import space

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


@dataclass(frozen=True)
class Value:
    """One value of an axis: its label, and the overrides that it stands for."""

    label: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Tuning:
    """Which overrides are tried for each combination of axes but ``seed``, at which share of the
    budget.

    ``trials``: those of the grid. Where Optuna chooses there are none, and ``space`` is what it
    chooses from: ``count`` trials, or as many as fit into ``flops``; ``prune``: ends early what
    lags behind.
    """

    trials: tuple[Value, ...]
    share: float
    seed: int
    space: tuple[space.Tuned, ...] = ()
    count: int | None = None
    flops: float | None = None
    prune: bool = True


@dataclass(frozen=True)
class Design:
    """A study as it is asked for. ``budget``: (key, amount), None where the overrides say it."""

    name: str
    base: tuple[str, ...]
    axes: Mapping[str, tuple[Value, ...]]
    budget: tuple[str, float] | None = None
    supervised: bool = False
    tuning: Tuning | None = None
    without: tuple[Mapping[str, str], ...] = ()  # axis -> label; what fits all of one is left out

    def combinations(self, *, but: str | None = None) -> Iterator[dict[str, Value]]:
        """Yield each combination, axis -> value, in the order of the file, the last axis changing
        fastest. ``but``: an axis that is not used."""
        axes = {key: values for key, values in self.axes.items() if key != but}
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            labels = {key: value.label for key, value in chosen.items()}
            if not any(left_out.items() <= labels.items() for left_out in self.without):
                yield chosen


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
    words, given["tune"] = _retuned(words, given["tune"], problems)
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
    tuning = _tuning(given["tune"], problems, config_dirs)
    design = Design(
        given["name"], _words(given["base"]), axes, budget, given["supervised"], tuning, without
    )
    design = changed(design, words, config_dirs=config_dirs)
    problems += _clashes(design)
    if problems:
        raise BadRequest([f"{file}: {problem}" for problem in problems])
    return design


def _retuned(words: Sequence[str], tune: Any, problems: list[str]) -> tuple[list[str], Any]:
    """Change ``tune`` by words such as ``tune.trials=4``; return the other words, and ``tune``."""
    own = [word for word in words if word.startswith("tune.")]
    if own and not isinstance(tune, Mapping):
        problems += [f"{word}: the study tunes nothing; add tune: to its YAML" for word in own]
        own = []
    changes = {}
    for word in own:
        key, _, raw = word.removeprefix("tune.").partition("=")
        changes[key] = amount if (amount := _above_zero(raw)) else yaml.safe_load(raw)
    others = [word for word in words if not word.startswith("tune.")]
    return others, {**tune, **changes} if changes else tune


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
    if problems := _clashes(design):
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
        elif key == "budget" and (flops := _above_zero(raw)):  # as study.yaml says it
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


def _above_zero(text: str) -> float | None:
    """Read a finite number above 0; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


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


def _tuning(
    given: Mapping[str, Any] | None, problems: list[str], config_dirs: Sequence[Path | str]
) -> Tuning | None:
    if given is None:
        return None
    chosen = space.read_space(given["values"], problems, config_dirs=config_dirs)
    ranges = [tuned.key for tuned in chosen if tuned.is_range]
    if given["trials"] is None and given["flops"] is None:
        problems += [
            f"tune.values.{key}: a range has no end of values; give tune.trials: 8 too, or list"
            " the values"
            for key in ranges
        ]
        points = space.listed(chosen) if chosen and not ranges else ()
        words = [
            tuple(tuned.word(value) for tuned, value in zip(chosen, point, strict=True))
            for point in points
        ]
        trials = tuple(Value(" ".join(some), some) for some in words)
        return Tuning(trials, given["share"], given["seed"], chosen if ranges else ())
    problems += _wrong_search(given)
    return Tuning(
        (),
        given["share"],
        given["seed"],
        chosen,
        given["trials"],
        given["flops"],
        given["prune"],
    )


def _wrong_search(given: Mapping[str, Any]) -> list[str]:
    """List what is wrong with how many trials Optuna shall make."""
    problems = []
    count, flops = given["trials"], given["flops"]
    if count is not None and flops is not None:
        problems.append(
            f"tune.trials={count}, tune.flops={shown(flops)}: only one can be set; take the other"
            " out"
        )
    if count is not None and count < 1:
        problems.append(f"tune.trials={count}: must be at least 1; give tune.trials: 8")
    if flops is not None and not flops > 0:
        problems.append(f"tune.flops={shown(flops)}: must be above 0; give tune.flops: 1e13")
    if importlib.util.find_spec("optuna") is None:
        key = "trials" if flops is None else "flops"
        problems.append(f"tune.{key}: needs optuna; pip install 'ssl-patches[tune]'")
    return problems


def _clashes(design: Design) -> list[str]:
    """List what cannot be meant: an axis without values or one twice, a key set twice."""
    problems, set_by = [], {_key(word): "base" for word in design.base}
    for key, values in design.axes.items():
        labels = [value.label for value in values]
        if not values:
            problems.append(f"axes.{key}: is empty; give it a value, or take it out")
        problems += [
            f"axes.{key}: {label} stands there twice"
            for label in sorted({x for x in labels if labels.count(x) > 1})
        ]
        for word in sorted({_key(word) for value in values for word in value.words}):
            if word in set_by:
                problems.append(
                    f"axes.{key}: {word} is set by {set_by[word]} too; take one of them out"
                )
            set_by[word] = f"axes.{key}"
    if design.budget and (twice := sorted(key for key in set_by if key.startswith("budget."))):
        problems.append(
            f"budget.{design.budget[0]}: {twice[0]} is set by {set_by[twice[0]]} too; take one of"
            " them out"
        )
    return problems + (_clashes_of_tuning(design, design.tuning, set_by) if design.tuning else [])


def _clashes_of_tuning(design: Design, tuning: Tuning, set_by: Mapping[str, str]) -> list[str]:
    problems = []
    keys = {_key(word) for trial in tuning.trials for word in trial.words}
    keys |= {tuned.key for tuned in tuning.space}
    for key in sorted(keys & {*set_by}):
        problems.append(f"tune.values.{key}: is set by {set_by[key]} too; take one of them out")
    if not keys:
        problems.append(
            "tune.values: is empty; give values, such as optimizer.base_lr: [1e-3, 2e-3]"
        )
    if not 0 < tuning.share <= 1:
        problems.append(
            f"tune.share={tuning.share}: must be above 0 and at most 1; give share: 0.2"
        )
    if design.budget and design.budget[0] == "flops" and tuning.flops is not None:
        one = tuning.share * design.budget[1]
        if tuning.flops < one:
            problems.append(
                f"tune.flops={shown(tuning.flops)}: is less than one trial takes (share x budget ="
                f" {one:g}); give tune.flops: {8 * one:g}"
            )
    if design.budget is None:
        problems.append("tune.share: is a share of budget, which is missing; give budget: 1e13")
    if f"seed={tuning.seed}" in {
        word for value in design.axes.get("seed", ()) for word in value.words
    }:
        problems.append(
            f"tune.seed={tuning.seed}: is a seed of the study, which would favour it; give another"
        )
    return problems


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]
