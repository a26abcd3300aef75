"""Mix several pretext tasks on one encoder: ``task=jigsaw+masked``, each with its own sampler,
knobs and weight.

A mixture is composed once per task, as if that task were alone, so every YAML, default and check
stays what it is; the ``task`` and ``sampler`` of each composition become ``parts.NAME``, the rest
is common. ``parts.NAME.weight=0.5``, ``parts.NAME.task.KNOB=`` and ``parts.NAME.sampler.KNOB=`` (or
``parts.NAME.sampler=CHOICE``) reach one part.

``weight``: what the loss of a part is multiplied by. Why: 1, the papers that add losses give no
better rule; losses of different tasks differ in size, so it is worth a trial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches import config
from ssl_patches.config.messages import BadRequest, nearest

OWN = ("task", "sampler")
"""What each part has for itself."""

SWITCHES = {"evaluation=none": "evaluation.probes=[]"}
"""Words that stand for others: ``evaluation`` is no group, but is switched off like one."""


def request(
    overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = (), **rules: Any
) -> dict[str, Any]:
    """Compose and check ``pretrain`` for one task or several, as ``config.request``.

    Raises BadRequest with all that is wrong.
    """
    return _each(
        lambda words: config.request("pretrain", words, config_dirs=config_dirs, **rules), overrides
    )


def compose(overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = ()) -> dict[str, Any]:
    """Compose ``pretrain`` for one task or several, as ``config.compose``.

    Nothing is checked but what Hydra checks. Raises BadRequest with all that is wrong.
    """
    return _each(
        lambda words: config.compose("pretrain", words, config_dirs=config_dirs), overrides
    )


def _each(
    ask: Callable[[Sequence[str]], dict[str, Any]], overrides: Sequence[str]
) -> dict[str, Any]:
    overrides = [SWITCHES.get(word, word) for word in overrides]
    names = _mixed(overrides)
    if names is None:
        _refuse_parts(overrides)
        return ask(overrides)
    common, own, weights = _sorted(overrides, names)
    composed, problems = {}, []
    for name in names:
        try:
            composed[name] = ask([*common, f"task={name}", *own[name]])
        except BadRequest as error:
            problems += [_renamed(problem, name) for problem in error.problems]
    if problems:
        raise BadRequest(dict.fromkeys(problems))
    first, *others = [
        {key: value for key, value in cfg.items() if key not in OWN} for cfg in composed.values()
    ]
    apart = sorted({key for other in others for key in first if first[key] != other.get(key)})
    if apart:
        raise BadRequest(
            [
                f"task={'+'.join(names)}: the tasks come with different {key}; set {key} for both"
                for key in apart
            ]
        )
    parts = {
        name: {"weight": weights.get(name, 1.0), **{key: composed[name][key] for key in OWN}}
        for name in names
    }
    return {**first, "parts": parts}


def nodes(cfg: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return name -> task, sampler and weight of each part of a checked configuration.

    A single task is one part.
    """
    if "parts" in cfg:
        return dict(cfg["parts"])
    name = cfg["task"]["_target_"].rpartition(".")[2].lower()
    return {name: {"weight": 1.0, **{key: cfg[key] for key in OWN}}}


def _mixed(overrides: Sequence[str]) -> list[str] | None:
    """Return the tasks that ``task=a+b`` names; None for one. BadRequest for the same twice."""
    values = [word.partition("=")[2] for word in overrides if word.startswith("task=")]
    if not values or "+" not in values[-1]:
        return None
    names = values[-1].split("+")
    if len(set(names)) < len(names) or "" in names:
        raise BadRequest([f"task={values[-1]}: must name different tasks; e.g. task=jigsaw+masked"])
    return names


def _refuse_parts(overrides: Sequence[str]) -> None:
    if found := [word for word in overrides if word.startswith("parts.")]:
        raise BadRequest(
            [
                f"{word}: there are parts in a mixture only; give task=A+B, or set task.KNOB"
                for word in found
            ]
        )


def _sorted(
    overrides: Sequence[str], names: Sequence[str]
) -> tuple[list[str], dict[str, list[str]], dict[str, float]]:
    """Sort words into those for all parts, those for each, and weights.

    BadRequest for words that fit no part.
    """
    common: list[str] = []
    own: dict[str, list[str]] = {name: [] for name in names}
    weights: dict[str, float] = {}
    problems: list[str] = []
    for word in overrides:
        if word.startswith("task="):
            continue
        if re.match(r"(task|sampler)[.=]", word):
            problems.append(f"{word}: of which part? give parts.{names[0]}.{word}")
        elif not word.startswith("parts."):
            common.append(word)
        else:
            name, _, rest = word.removeprefix("parts.").partition(".")
            if name not in own:
                problems.append(f"{word}: no such part; {nearest(name, names, prefix='parts.')}")
            elif rest.startswith("weight="):
                weights[name] = _weight(word, problems)
            elif re.match(r"(task\.|sampler[.=])", rest):
                own[name].append(rest)
            else:
                problems.append(
                    f"{word}: a part has task, sampler and weight; give parts.{name}.weight=0.5 or"
                    f" parts.{name}.task.KNOB="
                )
    if problems:
        raise BadRequest(problems)
    return common, own, weights


def _weight(word: str, problems: list[str]) -> float:
    key, _, value = word.partition("=")
    try:
        weight = float(value)
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        problems.append(f"{word}: must be a number above 0; set {key}=1")
    return weight


def _renamed(problem: str, name: str) -> str:
    """Reword a problem of one composition for the mixture: its own keys lie below
    ``parts.NAME``."""
    return re.sub(r"(?<![\w./@])(task|sampler)(?=\.)", rf"parts.{name}.\1", problem)
