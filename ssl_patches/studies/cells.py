"""From the design of a study to its cells: what runs, under which key, in which directory.

The key of a cell is the hash of everything that decides its numbers: the resolved configuration,
the data's fingerprint and the protocol. What it leaves out (where the run lies, how images are
loaded, the device, how often is logged) changes no result, so a study may be moved, and machines
that keep the images elsewhere work on the same cells. A cell that is asked for again, from another
study.yaml too, is recognised and not run twice.

A tuned cell is one of several ``choices``; the trials that its group shares say which.
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

from ssl_patches.config import mixture
from ssl_patches.config.atomic import write_json
from ssl_patches.config.files import folders_of
from ssl_patches.config.instantiate import build
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.renamed import with_current_names, with_former_names
from ssl_patches.config.run_dir import origin_of
from ssl_patches.config.schema import PRETRAIN, SUPPLIED
from ssl_patches.data import build as build_data
from ssl_patches.data.module import EndlessBatches
from ssl_patches.evaluation import PROTOCOL
from ssl_patches.studies.design import Design, Value, budget_words
from ssl_patches.training import build as build_run
from ssl_patches.training import supervised

TRAINING = 1
"""Whoever changes what a configuration trains raises it: cells of two versions are different
cells."""

PLAIN = re.compile(r"seed=(\d+)|budget\.(images|epochs|flops|seconds)=(null|\d[\d.e+-]*)")
REFERRED = re.compile(r"\$\{[^}]*\b(seed|budget)\b")


@dataclass(frozen=True)
class Job:
    """Something to run: overrides, what they resolve to, and where it goes."""

    name: str
    words: list[str]
    cfg: dict[str, Any]
    key: str
    place: str  # below the study's folder

    @property
    def command(self) -> str:
        """What is typed to do the same by hand; there is none for the supervised baseline."""
        task = self.cfg.get("task", {}).get("_target_", "")
        return (
            ""
            if task == supervised.TARGET
            else shlex.join(["ssl-patches", "pretrain", *self.words])
        )


@dataclass(frozen=True)
class Cell:
    """A run of the study. ``axes``: axis -> label. ``trials``: names of the trials that choose one
    of ``choices``."""

    name: str
    axes: dict[str, str]
    choices: list[Job]
    trials: list[str]


@dataclass(frozen=True)
class Plan:
    """All that a study has to run. ``out``: the folder that everything goes to."""

    name: str
    out: str
    trials: list[Job]
    cells: list[Cell]

    def directory(self, job: Job) -> Path:
        return Path(self.out, job.place)

    def save(self) -> Path:
        """Write it for other processes; the name is the hash of the content, so studies in one
        folder keep apart."""
        content = asdict(self)
        file = Path(self.out, "plans", f"{_hash(content)[:8]}.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
        return file


def load(file: Path) -> Plan:
    """What ``Plan.save`` wrote."""
    found = with_current_names(json.loads(file.read_text(encoding="utf-8")))
    cells = [
        Cell(**{**cell, "choices": [Job(**job) for job in cell["choices"]]})
        for cell in found.pop("cells")
    ]
    return Plan(**{**found, "trials": [Job(**job) for job in found["trials"]]}, cells=cells)


def plan(
    design: Design, out: Path, *, below: str = "cells", config_dirs: Sequence[Path | str] = ()
) -> Plan:
    """Every cell composed and checked, nothing written. BadRequest with all problems of all cells.

    ``below``: where the runs lie in ``out``.
    """
    composer = _Composer(design, config_dirs)
    trials, cells = [], []
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
        cells.append(
            Cell(name, {axis: value.label for axis, value in chosen.items()}, choices, names)
        )
    problems = composer.problems or _twice(cells)
    if problems:
        raise BadRequest(problems)
    return Plan(design.name, str(out), trials, cells)


def _combinations(design: Design) -> Iterator[dict[str, Value]]:
    yield from design.combinations()
    if design.supervised:  # whatever the task is, it is replaced
        for chosen in design.combinations(but="task"):
            yield {"task": Value("supervised", (supervised.WORD,)), **chosen}


class _Composer:
    """Composes and checks jobs, each configuration and each data set once; ``problems`` grows."""

    def __init__(self, design: Design, config_dirs: Sequence[Path | str]) -> None:
        self.design, self.config_dirs, self.problems = design, config_dirs, []
        self.sources: dict[str, tuple[Any, Any]] = {}
        self.fitting: set[str] = set()
        self.composed: dict[tuple[str, ...], dict[str, Any]] = {}
        yamls = [file for folder in folders_of(config_dirs) for file in folder.rglob("*.yaml")]
        self.referred = any(
            REFERRED.search(text)
            for text in (*design.base, *(file.read_text("utf-8") for file in yamls))
        )

    def compose(self, words: Sequence[str]) -> dict[str, Any]:
        """The checked configuration. Composing takes a fifth of a second; seeds and budgets, from
        which nothing else follows unless some YAML refers to them, are filled in."""
        plain = (
            {}
            if self.referred
            else {word: found for word in words if (found := PLAIN.fullmatch(word))}
        )
        others = tuple(word for word in words if word not in plain)
        if others not in self.composed:
            self.composed[others] = mixture.request(
                words, config_dirs=self.config_dirs, supplied=SUPPLIED, schema=PRETRAIN
            )
        cfg = copy.deepcopy(self.composed[others])
        cfg["budget"] |= {
            found[2]: None if found[3] == "null" else float(found[3])
            for found in plain.values()
            if found[2]
        }
        for found in plain.values():
            cfg |= {"seed": int(found[1])} if found[1] else {}
        return cfg

    def job(self, name: str, words: Sequence[str], *, below: str) -> list[Job]:
        """The one job, or none after saying why."""
        wanted = supervised.WORD in words
        words = [*self.design.base, *(word for word in words if word != supervised.WORD)]
        try:
            cfg = self.compose(words)
            cfg = supervised.instead_of_task(cfg) if wanted else cfg
            fingerprint = self.check(cfg)
        except ValueError as error:
            told = (f"{name}: {problem}" for problem in str(error).splitlines())
            self.problems += [
                problem
                for problem in told
                if _without_cell(problem) not in map(_without_cell, self.problems)
            ]
            return []
        key = key_of(cfg, fingerprint)
        return [Job(name, words, cfg, key, f"{below}/{name}-{key[:8]}")]

    def check(self, cfg: Mapping[str, Any]) -> str:
        """The fingerprint of the data, after making sure that the parts of the run fit each other
        and the data."""
        for key in ("run_dir", "resume", "overwrite"):
            if cfg[key]:
                raise ValueError(
                    f"{key}: a cell's own business; take it out (a study continues what it finds in"
                    " out=DIR)"
                )
        if not any(cfg["budget"].values()):
            raise ValueError(
                "budget: missing, cells are compared at an equal one; give budget.flops=1e13"
            )
        of_data = json.dumps([cfg["data"], cfg["image_size"]])
        if of_data not in self.sources:
            self.sources[of_data] = tuple(
                build_data.source(cfg, split, whole=False) for split in ("train", "val")
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
            (supervised.check if supervised.is_supervised(cfg) else build_run.components)(cfg)
            if self.design.tuning or supervised.is_supervised(cfg):
                supervised.classes_of(train)
            self.fitting.add(shape)
        return f"{train.fingerprint()} {val.fingerprint()}"


def key_of(cfg: Mapping[str, Any], fingerprint: str) -> str:
    """64 hexadecimal digits; see the module's docstring."""
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
    """What tells a cell: tasks and encoders by their names, everything else with its key."""
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


def _without_cell(problem: str) -> str:
    return problem.partition(": ")[2]


def _twice(cells: Sequence[Cell]) -> list[str]:
    """Cells that are the same run under two names."""
    seen, problems = {}, []
    for cell in cells:
        keys = {job.key for job in cell.choices}
        problems += [
            f"{cell.name}: is the same run as {seen[key]}; take one of them out of axes"
            for key in keys
            if key in seen
        ]
        seen |= dict.fromkeys(keys, cell.name)
    return problems
