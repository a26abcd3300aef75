"""The command that makes a run, found from its settings alone: choices and overrides against the
defaults.

Of each group that choice is taken which leaves least to say; what is left is said key by key. The
result is composed again and must give the settings that it came from: a command that is shown is
exact, or none is shown.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from ssl_patches.config import mixture
from ssl_patches.config.files import folders_of, groups_in, names_in
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.run_dir import differences

PLACE = ("run_dir", "resume", "overwrite")
"""Where a run lies is not what it is."""
CHOSEN = 1000  # keys that a class counts for
SEED = 0  # the default of conf/pretrain.yaml


def command_of(settings: Mapping[str, Any]) -> str | None:
    """``ssl-patches pretrain ...``; None where no choice of conf/ and no override composes to
    ``settings``."""
    # the runs of an entry differ in their seeds, and a seed is composed from nothing
    words = _without_seed(
        json.dumps(
            {key: value for key, value in settings.items() if key not in (*PLACE, "seed")},
            sort_keys=True,
        )
    )
    seed = [f"seed={settings['seed']}"] if "seed" in settings else []
    return None if words is None else shlex.join(["ssl-patches", "pretrain", *words, *seed])


@cache
def _without_seed(settings: str) -> list[str] | None:
    return words_of({**json.loads(settings), "seed": SEED})


def words_of(settings: Mapping[str, Any]) -> list[str] | None:
    """The overrides alone."""
    folders, words = folders_of(), []
    wanted = {key: value for key, value in settings.items() if key not in PLACE}
    # the task first: it brings its sampler
    parts = settings.get("parts")  # of a mixture: its tasks are known by name
    words += [f"task={'+'.join(parts)}"] if parts else []
    for group in (
        *(() if parts else ("task",)),
        *sorted(groups_in(folders) - {"task", "experiment"}),
    ):
        if not _left((), tuple(words), wanted, group):
            continue
        # choices of a group do not change those of another, so each is composed alone, once for all
        # runs
        before = tuple(words[:1]) if group == "sampler" else ()
        left = {
            name: _left((f"{group}={name}",), before, wanted, group)
            for name in names_in(folders, group)
        }
        best = min(sorted(left), key=left.__getitem__)
        if left[best] < _left((), tuple(words), wanted, group):
            words.append(f"{group}={best}")
    if (tree := _composed(tuple(words))) is None:
        return None
    for key, (_, value) in differences(tree, wanted).items():
        if key not in PLACE:
            words.append(f"~{key}" if value is None else f"{key}={_literal(value)}")
    again = _composed(tuple(words))
    exact = again is not None and not set(differences(again, wanted)) - set(PLACE)
    return words if exact else None


def _left(
    choice: tuple[str, ...], words: tuple[str, ...], wanted: Mapping[str, Any], group: str
) -> float:
    """How many keys of the group would still have to be said; a class has to be chosen, for with it
    its keys come and go."""
    tree = _composed((*words, *choice))
    if tree is None:
        return float("inf")
    left = differences({group: tree.get(group)}, {group: wanted.get(group)})
    return len(left) + CHOSEN * sum(key.endswith("_target_") for key in left)


@cache
def _composed(words: tuple[str, ...]) -> dict[str, Any] | None:
    """None where these words do not compose."""
    try:
        return mixture.compose(words)
    except BadRequest:
        return None


def _literal(value: Any) -> str:
    """A value as Hydra's grammar reads it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_literal, value)) + "]"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_/][\w./-]*", value):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.lower() in ("null", "true", "false", "nan", "inf"):
        return json.dumps(value)
    return json.dumps(value).strip('"') if isinstance(value, str) else json.dumps(value)
