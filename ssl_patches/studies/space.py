"""Hold what `tune` may choose: for each setting a range of numbers, or a list of values.

A list is what is tried, one by one; a range has no end of values, so Optuna chooses among them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches.config.messages import BadRequest, nearest, shown
from ssl_patches.config.sweeps import Interval, read_sweep, respelled
from ssl_patches.config.words import spelled

RANGE = {"low": float, "high": float, "log": bool, "int": bool}
"""Keys of a range in study.yaml, and their kinds."""
EXAMPLE = '"tag(log,interval(1e-4,1e-2))" in quotes'
DIGITS = 4
"""Of a number that is drawn from a range. Why: commands stay short, and none knows more of it."""


@dataclass(frozen=True)
class Tuned:
    """One tuned setting: a list of ``values``, as typed, or a range from ``low`` to ``high``, both
    included. ``log``: drawn on a logarithmic scale. ``whole``: whole numbers."""

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def is_range(self) -> bool:
        """Tell whether it is a range."""
        return not self.values

    def at(self, share: float) -> float:
        """Return the number that lies at ``share`` of the range, 0 to 1."""
        return self.low + share * (self.high - self.low)

    def number(self, value: float) -> float:
        """Round a number that was drawn to ``DIGITS`` digits, and keep it within the range."""
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def word(self, value: Any) -> str:
        """Return the override that sets it to ``value``: of a list as typed, of a range a
        number."""
        return f"{self.key}={value if self.values else spelled(value)}"


def listed(space: Sequence[Tuned]) -> Iterator[tuple[str, ...]]:
    """Yield every combination of the lists, values as typed, the last list changing fastest."""
    return itertools.product(*(tuned.values for tuned in space if tuned.values))


def words_of(space: Sequence[Tuned], chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the overrides that set all of ``space`` as ``chosen``, key -> value."""
    return tuple(tuned.word(chosen[tuned.key]) for tuned in space)


def label_of(space: Sequence[Tuned], chosen: Mapping[str, Any]) -> str:
    """Return what was chosen as a text of one line: ``optimizer.base_lr=0.002``."""
    return " ".join(words_of(space, chosen))


def read_space(
    given: Mapping[str, Any], problems: list[str], *, config_dirs: Sequence[Path | str] = ()
) -> tuple[Tuned, ...]:
    """Read ``tune.values`` of a study.yaml; ``problems`` grows by what is wrong."""
    found = []
    for key, value in given.items():
        at = f"tune.values.{key}"
        if isinstance(value, Mapping):
            tuned = _mapped(key, value, at, problems)
        elif isinstance(value, list):
            tuned = Tuned(key, tuple(spelled(each) for each in value))
            if not value:
                problems.append(f"{at}: is empty; give it a value, or take it out")
        else:
            tuned = _typed(key, value, at, problems, config_dirs)
        if tuned is None or tuned == Tuned(key):
            tuned = Tuned(key, ("?",))  # is a problem already
        twice = sorted({each for each in tuned.values if tuned.values.count(each) > 1})
        problems += [f"{at}: {each} stands there twice" for each in twice]
        problems += _wrong_ends(tuned, at) if tuned.is_range else []
        found.append(tuned)
    return tuple(found)


def _typed(
    key: str, value: Any, at: str, problems: list[str], config_dirs: Sequence[Path | str]
) -> Tuned | None:
    remedy = f"give a list, or {{low: 1e-4, high: 1e-2, log: true}}, or {EXAMPLE}"
    try:
        read = read_sweep(f"{key}={value}", config_dirs=config_dirs) if value else None
    except BadRequest as error:
        problems += [f"tune.values.{problem}" for problem in error.problems]
        return None
    if isinstance(read, Interval):
        return Tuned(key, (), read.low, read.high, read.log, read.whole)
    if read is None:
        problems.append(f"{at}={shown(value)}: must be several values; {remedy}")
        return None
    return Tuned(key, tuple(map(respelled, read)))


def _mapped(key: str, given: Mapping[str, Any], at: str, problems: list[str]) -> Tuned | None:
    wrong = [
        f"{at}.{name}: unknown key; {nearest(name, RANGE, prefix=f'{at}.')}"
        for name in map(str, given)
        if name not in RANGE
    ]
    for name, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in ("low", "high") and not (number and math.isfinite(value)):
            wrong.append(f"{at}.{name}={shown(value)}: must be a number; give {at}.{name}: 1e-3")
        if name in ("log", "int") and not isinstance(value, bool):
            wrong.append(f"{at}.{name}={shown(value)}: must be true or false")
    for name in ("low", "high"):
        if name not in given:
            wrong.append(f"{at}.{name}: missing; give {{low: 1e-4, high: 1e-2, log: true}}")
    problems += wrong
    if wrong:
        return None
    whole, kind = given.get("int", False), int if given.get("int") else float
    if whole and any(given[name] != int(given[name]) for name in ("low", "high")):
        problems.append(f"{at}: low and high must be whole numbers; take int: true out, or round")
        return None
    return Tuned(key, (), kind(given["low"]), kind(given["high"]), given.get("log", False), whole)


def _wrong_ends(tuned: Tuned, at: str) -> list[str]:
    if not tuned.low < tuned.high:
        return [
            f"{at}: low={shown(tuned.low)} must be below high={shown(tuned.high)}; change the two"
        ]
    if tuned.log and not tuned.low > 0:
        return [
            f"{at}.low={shown(tuned.low)}: must be above 0 on a logarithmic scale; give another"
            " low, or take log out"
        ]
    return []


def cut_off(given: Mapping[Any, Any], at: str, problems: list[str]) -> dict[str, Any]:
    """Return ``given`` with a mark for what YAML cut at a comma: each is a problem.

    ``{seed: range(0,3)}`` is ``range(0`` and ``3)`` to YAML.
    """
    kept = {}
    for key, value in given.items():
        if not isinstance(value, str | None) or re.search(r"^[^()]*\)", str(key)) is None:
            kept[key] = value
    for key, value in list(kept.items()):
        if isinstance(value, str) and value.count("(") > value.count(")"):
            kept[key] = ["?"]  # no second line about a key without values
            problems.append(
                f"{at}.{key}={shown(value)}: YAML cuts it at its comma between {{}}; put it in"
                f' quotes: {key}: "{value},...)"'
            )
    return kept
