"""Hold what a study has to run: jobs, the runs and searches that they belong to, the plan of all.

The key of a run is the hash of everything that decides its numbers: the resolved configuration,
the data's fingerprint, their labels and the protocol. What it leaves out (where the run lies, how
images are loaded, the device, how often is logged) changes no result.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl_patches.config import baseline
from ssl_patches.config.atomic import write_json
from ssl_patches.config.renamed import with_current_names, with_former_names
from ssl_patches.config.run_dir import origin_of
from ssl_patches.studies.space import Tuned, listed, words_of

TRAINING = 1
"""Raise it with a change of what a configuration trains: runs of two versions are not the same."""


@dataclass(frozen=True)
class Job:
    """One training: its overrides, what they resolve to, and where it goes."""

    name: str
    words: list[str]
    cfg: dict[str, Any]
    key: str
    place: str  # folder of the run, below that of the study
    former: bool = False  # kept under the key of before, which knew no content of images
    fingerprint: str = ""  # of the data, where the key is not known before Optuna has chosen

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
    choose one of ``choices``. ``search``: name of the search that does so."""

    name: str
    axes: dict[str, str]
    choices: list[Job]
    trials: list[str]
    search: str = ""


@dataclass(frozen=True)
class Search:
    """The trials of a group of runs, chosen by Optuna one after the other.

    ``choices``: a job for each combination of the lists in ``space``, with ranges at their low
    ends. ``place``: folder of the search, below that of the study. ``count`` trials, or as many as
    fit into ``flops``. ``prune``: end early what lags behind.
    """

    name: str
    place: str
    space: list[Tuned]
    choices: list[Job]
    seed: int
    count: int | None
    flops: float | None
    prune: bool

    def job(self, choices: Sequence[Job], chosen: Mapping[str, Any], name: str, below: str) -> Job:
        """Return the job of ``choices`` with what was chosen, key -> value, below a folder."""
        point = tuple(chosen[tuned.key] for tuned in self.space if tuned.values)
        job = choices[list(listed(self.space)).index(point)]
        numbers = {tuned.key: chosen[tuned.key] for tuned in self.space if tuned.is_range}
        cfg = with_numbers(job.cfg, numbers)
        words = [*job.words[: -len(self.space)], *words_of(self.space, chosen)]
        key = run_key(cfg, job.fingerprint)
        return Job(name, words, cfg, key, f"{below}/{name}-{key[:8]}")

    def trial(self, chosen: Mapping[str, Any]) -> Job:
        """Return the job of a trial, key -> value."""
        return self.job(self.choices, chosen, name_from(words_of(self.space, chosen)), self.place)


@dataclass(frozen=True)
class Plan:
    """Everything that a study has to run. ``out``: the folder that everything goes to."""

    name: str
    out: str
    trials: list[Job]
    runs: list[StudyRun]
    searches: list[Search] = field(default_factory=list)

    def directory(self, job: Job | Search) -> Path:
        """Return the run directory of ``job``, or the folder of a search."""
        return Path(self.out, job.place)

    def save(self) -> Path:
        """Write it for other processes; the name is the hash of the content, so studies in one
        folder keep apart."""
        content = asdict(self)
        content["cells"] = content.pop("runs")  # the key that plans on disk have
        file = Path(self.out, "plans", f"{hash_of(content)[:8]}.json")
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
    searches = [
        Search(
            **{
                **search,
                "space": [
                    Tuned(**{**tuned, "values": tuple(tuned["values"])})
                    for tuned in search["space"]
                ],
                "choices": [Job(**job) for job in search["choices"]],
            }
        )
        for search in found.pop("searches", [])
    ]
    trials = [Job(**job) for job in found["trials"]]
    return Plan(**{**found, "trials": trials}, runs=runs, searches=searches)


def with_numbers(cfg: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Copy ``cfg`` with numbers in their places, key path -> number."""
    filled = copy.deepcopy(dict(cfg))
    for path, number in numbers.items():
        *above, last = path.split(".")
        node: Any = filled
        for part in above:
            node = node.setdefault(part, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node[last] = number
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
    return hash_of(decides)


def hash_of(content: Any) -> str:
    """Return the hash of what JSON can hold, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def name_from(labels: Sequence[str]) -> str:
    """Return a name for people and file systems: ``jigsaw-seed0``, ``masked-base_lr0.001``."""
    parts = (re.sub(r"^[\w.]*?(\w+)=", r"\1", label) for label in labels)
    return "-".join(re.sub(r"[^\w.+]+", "_", part).strip("_.") for part in parts) or "run"
