"""Read what a study tunes: ``tune:`` of study.yaml, as the command line changes it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_patches.config.messages import shown
from ssl_patches.studies import space
from ssl_patches.studies.records import Tuning, Value


def retuned(words: Sequence[str], tune: Any, problems: list[str]) -> tuple[list[str], Any]:
    """Change ``tune`` by words such as ``tune.trials=4``; return the other words, and ``tune``."""
    own = [word for word in words if word.startswith("tune.")]
    if own and not isinstance(tune, Mapping):
        problems += [f"{word}: the study tunes nothing; add tune: to its YAML" for word in own]
        own = []
    changes = {}
    for word in own:
        key, _, raw = word.removeprefix("tune.").partition("=")
        changes[key] = amount if (amount := above_zero(raw)) else yaml.safe_load(raw)
    others = [word for word in words if not word.startswith("tune.")]
    return others, {**tune, **changes} if changes else tune


def read_tuning(
    given: Mapping[str, Any] | None, problems: list[str], config_dirs: Sequence[Path | str]
) -> Tuning | None:
    """Read ``tune:`` of a study; None where nothing is tuned. ``problems`` grows."""
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


def above_zero(text: str) -> float | None:
    """Read a finite number above 0; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None
