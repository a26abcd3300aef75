"""Plan a study: what runs, under which key, in which directory.

The key of a run is the hash of everything that decides its numbers: the resolved configuration,
the data's fingerprint, their labels and the protocol. What it leaves out (where the run lies, how
images are loaded, the device, how often is logged) changes no result, so a study may be moved, and
machines that keep the images elsewhere work on the same runs. A run that is asked for again, from
another study.yaml too, is recognised and not made twice. Older runs are kept under a key that knew
names and sizes of images, not their content: they are found under that one, and taken as they are.

A tuned run is one of several ``choices``; the trials that its group shares say which.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl_patches.config import baseline, mixture
from ssl_patches.config.atomic import write_json
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.renamed import with_current_names, with_former_names
from ssl_patches.config.run_dir import SUMMARY, origin_of
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.studies.design import Design, Value, budget_words

TRAINING = 1
"""Raise it with a change of what a configuration trains: runs of two versions are not the same."""

PLAIN = re.compile(r"seed=\d+|budget\.\w+=(?:null|\d+(?:\.\d*)?(?:e[+-]?\d+)?)")
"""A seed or a budget, as it is typed."""


@dataclass(frozen=True)
class Job:
    """One training: its overrides, what they resolve to, and where it goes."""

    name: str
    words: list[str]
    cfg: dict[str, Any]
    key: str
    place: str  # folder of the run, below that of the study
    former: bool = False  # kept under the key of before, which knew no content of images

    @property
    def command(self) -> str:
        """Return what is typed to do the same by hand; empty for the supervised baseline."""
        task = self.cfg.get("task", {}).get("_target_", "")
        return (
            "" if task == baseline.TARGET else shlex.join(["ssl-patches", "pretrain", *self.words])
        )


@dataclass(frozen=True)
class StudyRun:
    """One combination of the axes. ``axes``: axis -> label. ``trials``: names of the trials that
    choose one of ``choices``."""

    name: str
    axes: dict[str, str]
    choices: list[Job]
    trials: list[str]


@dataclass(frozen=True)
class Plan:
    """Everything that a study has to run. ``out``: the folder that everything goes to."""

    name: str
    out: str
    trials: list[Job]
    runs: list[StudyRun]

    def directory(self, job: Job) -> Path:
        """Return the run directory of ``job``."""
        return Path(self.out, job.place)

    def save(self) -> Path:
        """Write it for other processes; the name is the hash of the content, so studies in one
        folder keep apart."""
        content = asdict(self)
        content["cells"] = content.pop("runs")  # the key that plans on disk have
        file = Path(self.out, "plans", f"{_hash(content)[:8]}.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
        return file


def read_plan(file: Path) -> Plan:
    """Read what ``Plan.save`` wrote."""
    found = with_current_names(json.loads(file.read_text(encoding="utf-8")))
    runs = [
        StudyRun(**{**run, "choices": [Job(**job) for job in run["choices"]]})
        for run in found.pop("cells")
    ]
    return Plan(**{**found, "trials": [Job(**job) for job in found["trials"]]}, runs=runs)


def plan(
    design: Design,
    out: Path,
    *,
    below: str = "cells",
    config_dirs: Sequence[Path | str] = (),
    allowed: Sequence[str] | None = None,
) -> Plan:
    """Compose and check every run; nothing is written. BadRequest with all problems of all runs.

    ``below``: where the runs lie in ``out``. ``allowed``: the ``_target_``s that may be named;
    None: any.
    """
    composer = _Composer(design, config_dirs, out, allowed)
    trials: list[Job] = []
    runs: list[StudyRun] = []
    for chosen in _combinations(design):
        group = [value for axis, value in chosen.items() if axis != "seed"]
        tried = design.tuning.trials if design.tuning else ()
        names = [_name([*_labels(chosen, but="seed"), *value.words]) for value in tried]
        for name, value in zip(names, tried, strict=True):
            if name not in {job.name for job in trials}:
                assert design.tuning is not None
                words = [
                    *_words(group),
                    *budget_words(design, design.tuning.share),
                    f"seed={design.tuning.seed}",
                    *value.words,
                ]
                trials += composer.job(name, words, below="tune")
        name = _name(_labels(chosen))
        words = [*_words(chosen.values()), *budget_words(design)]
        choices = [
            job
            for value in tried or [Value("", ())]
            for job in composer.job(name, [*words, *value.words], below=below)
        ]
        runs.append(
            StudyRun(name, {axis: value.label for axis, value in chosen.items()}, choices, names)
        )
    problems = composer.problems or _twice(runs)
    if problems:
        raise BadRequest(problems)
    return Plan(design.name, str(out), trials, runs)


def _combinations(design: Design) -> Iterator[dict[str, Value]]:
    yield from design.combinations()
    if design.supervised:  # whatever the task is, it is replaced
        for chosen in design.combinations(but="task"):
            yield {"task": Value("supervised", (baseline.WORD,)), **chosen}


class _Composer:
    """Composes and checks jobs, each configuration and each data set once; ``problems`` grows."""

    def __init__(
        self,
        design: Design,
        config_dirs: Sequence[Path | str],
        out: Path,
        allowed: Sequence[str] | None = None,
    ) -> None:
        self.design, self.config_dirs, self.out = design, config_dirs, out
        self.allowed = allowed
        self.problems: list[str] = []
        self.sources: dict[str, tuple[Any, Any]] = {}
        self.fitting: set[str] = set()
        self.composed: dict[tuple[str, ...], tuple[dict[str, str], dict[str, Any]]] = {}
        self.independent: set[tuple[tuple[str, ...], frozenset[str]]] = set()

    def compose(self, words: Sequence[str]) -> dict[str, Any]:
        """Compose and check a configuration. BadRequest with what is wrong.

        Composing takes a fifth of a second, and most runs differ in seed or budget only. Where two
        compositions have shown that nothing else follows from these keys, they are filled in.
        """
        plain = dict(word.split("=", 1) for word in words if PLAIN.fullmatch(word))
        others = tuple(word for word in words if not PLAIN.fullmatch(word))
        if others not in self.composed:
            self.composed[others] = (plain, self._compose(words))
            return copy.deepcopy(self.composed[others][1])
        before, cfg = self.composed[others]
        changed = frozenset(key for key in {*plain, *before} if plain.get(key) != before.get(key))
        if plain.keys() != before.keys():
            return self._compose(words)
        filled = _filled_in(cfg, plain)
        shown = (_files_and_references(others), changed)
        if shown not in self.independent:
            composed = self._compose(words)
            if composed != filled:
                return composed
            self.independent.add(shown)
        return filled

    def _compose(self, words: Sequence[str]) -> dict[str, Any]:
        cfg = mixture.request(
            words,
            config_dirs=self.config_dirs,
            supplied=SUPPLIED,
            schema=PRETRAIN,
            allowed=self.allowed,
        )
        if self.allowed is not None and cfg["data"].get("download"):
            raise ValueError(
                "data.download=true: a dry run of a study fetches nothing; take it out, or fetch"
                " the images before"
            )
        return cfg

    def job(self, name: str, words: Sequence[str], *, below: str) -> list[Job]:
        """Return the one job, or none after saying why."""
        wanted = baseline.WORD in words
        words = [*self.design.base, *(word for word in words if word != baseline.WORD)]
        try:
            cfg = self.compose(words)
            cfg = baseline.instead_of_task(cfg) if wanted else cfg
            fingerprint, former = self.check(cfg)
        except ValueError as error:
            told = (f"{name}: {problem}" for problem in str(error).splitlines())
            self.problems += [
                problem
                for problem in told
                if _without_name(problem) not in map(_without_name, self.problems)
            ]
            return []
        key, before = run_key(cfg, fingerprint), run_key(cfg, former)
        place = f"{below}/{name}-{before[:8]}"
        if before != key and _kept_before(Path(self.out, place), fingerprint):
            return [Job(name, words, cfg, before, place, former=True)]
        return [Job(name, words, cfg, key, f"{below}/{name}-{key[:8]}")]

    def check(self, cfg: Mapping[str, Any]) -> tuple[str, str]:
        """Return the fingerprint of the data, and that by the rule of before.

        Before, make sure that the parts of the run fit each other and the data.
        """
        from ssl_patches.config.instantiate import build
        from ssl_patches.data import build as build_data
        from ssl_patches.data.module import EndlessBatches
        from ssl_patches.training import build as build_run
        from ssl_patches.training import supervised

        for key in ("run_dir", "resume", "overwrite"):
            if cfg[key]:
                raise ValueError(
                    f"{key}: is set by the study for each of its runs; take it out (a study"
                    " continues what it finds in out=DIR)"
                )
        if not any(cfg["budget"].values()):
            raise ValueError(
                "budget: missing, runs are compared at an equal one; give budget.flops=1e13"
            )
        of_data = json.dumps([cfg["data"], cfg["image_size"]])
        if of_data not in self.sources:
            self.sources[of_data] = (
                build_data.source(cfg, "train", whole=False),
                build_data.source(cfg, "val", whole=False),
            )
        train, val = self.sources[of_data]
        build(cfg["optimizer"])
        shape = json.dumps(
            {key: value for key, value in cfg.items() if key not in ("seed", "budget", "optimizer")}
        )
        if shape not in self.fitting:
            EndlessBatches(
                length=len(train), batch_size=cfg["data"]["batch_size"], seed=cfg["seed"]
            )
            (supervised.check_supervised if baseline.is_supervised(cfg) else build_run.components)(
                cfg
            )
            if self.design.tuning or baseline.is_supervised(cfg):
                supervised.classes_of(train)
            self.fitting.add(shape)
        prints = [train.fingerprint(), val.fingerprint()]
        return (
            " ".join(filter(None, [*prints, train.label_key(), val.label_key()])),
            f"{train.former_fingerprint()} {val.former_fingerprint()}",
        )


def _kept_before(directory: Path, fingerprint: str) -> bool:
    """Tell whether a run lies there under the key of before, and not of other images as far as it
    knows."""
    try:
        summary = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
        now = fingerprint.split()[0]
        return "former_fingerprint" not in summary or summary["data_fingerprint"] == now
    except (OSError, ValueError, TypeError, KeyError):
        return directory.is_dir()


def _files_and_references(words: Sequence[str]) -> tuple[str, ...]:
    """Words that choose YAML files, or refer to other keys: what else follows from a key is
    there."""
    return tuple(
        word
        for word in words
        if "$" in word or "." not in word.partition("=")[0] or word.startswith("parts.")
    )


def _filled_in(cfg: Mapping[str, Any], plain: Mapping[str, str]) -> dict[str, Any]:
    """Copy ``cfg`` with the seed and the budget of ``plain``."""
    filled = copy.deepcopy(dict(cfg))
    for key, value in plain.items():
        if key == "seed":
            filled["seed"] = int(value)
        else:
            filled["budget"][key.removeprefix("budget.")] = (
                None if value == "null" else float(value)
            )
    return filled


def run_key(cfg: Mapping[str, Any], fingerprint: str) -> str:
    """Return the key of a run, 64 hexadecimal digits: a hash of all that decides its numbers."""
    from ssl_patches.evaluation.protocol import PROTOCOL

    decides = {
        **with_former_names(origin_of(cfg, fingerprint)),
        "budget": {key: amount for key, amount in cfg["budget"].items() if amount is not None},
        "precision": cfg["trainer"].get("precision", "fp32"),
        "evaluation": cfg["evaluation"],
        "protocol": [TRAINING, PROTOCOL["version"]],
    }
    return _hash(decides)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _labels(chosen: Mapping[str, Value], *, but: str | None = None) -> list[str]:
    """Name what tells runs apart: tasks and encoders by names, everything else with its key."""
    named = ("task", "encoder", "data", "views", "sampler")
    return [
        value.label if axis in named else f"{axis}={value.label}"
        for axis, value in chosen.items()
        if axis != but
    ]


def _name(labels: Sequence[str]) -> str:
    """For people, and for the file system: ``jigsaw-seed0``, ``masked-base_lr0.001``."""
    parts = (re.sub(r"^[\w.]*?(\w+)=", r"\1", label) for label in labels)
    return "-".join(re.sub(r"[^\w.+]+", "_", part).strip("_.") for part in parts) or "run"


def _words(values: Any) -> list[str]:
    return [word for value in values for word in value.words]


def _without_name(problem: str) -> str:
    return problem.partition(": ")[2]


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
