"""Read what stands for several values, in Hydra's own grammar: ``0,1``, ``range(0,3)``,
``choice(a,b)``, ``glob(*)``, ``interval(0,1)``, each also in ``sort``, ``shuffle``, ``tag``.

Trap: YAML cuts ``{seed: range(0,3)}`` at its comma, since braces and brackets are its own there. On
a line of its own, or in quotes, it stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_patches.config.files import folders_of, names_in
from ssl_patches.config.messages import BadRequest
from ssl_patches.config.words import spelled


@dataclass(frozen=True)
class Interval:
    """Hold the two ends of an interval, as typed. ``log``: drawn on a logarithmic scale,
    ``tag(log,...)``. ``whole``: whole numbers, ``int(...)``."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


def read_sweep(text: str, *, config_dirs: Sequence[Path | str] = ()) -> list[str] | Interval | None:
    """Read the values of ``KEY=SWEEP``, each as it is typed, or an interval.

    None where it is no sweep, or cannot be read: composing says so. BadRequest where it stands for
    no value at all.
    """
    from hydra.core.override_parser.types import Glob, IntervalSweep
    from omegaconf.errors import OmegaConfBaseException

    parsed = parse_override(text)
    if parsed is None or not parsed.is_sweep_override():
        return None
    value, key = parsed.value(), text.partition("=")[0]
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        whole = isinstance(low, int) and isinstance(high, int)
        return Interval(low, high, "log" in value.tags, whole)  # type: ignore[arg-type]
    if isinstance(value, Glob):  # over the names of a group
        offered = names_in(folders_of(config_dirs), key)
        found = value.filter(offered)
        rule = f"fits none of: {', '.join(offered)}" if offered else "is for groups, such as task"
    else:
        try:
            found, rule = list(parsed.sweep_string_iterator()), "stands for no value"
        except OmegaConfBaseException:  # range(0,3),7
            found, rule = [], "has a sweep within a sweep"
    if not found:
        raise BadRequest([f"{text}: {rule}; give the values one by one, {key}=A,B"])
    return found


def parse_override(text: str) -> Any:
    """Parse an override by Hydra's grammar; None where Hydra cannot read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def respelled(text: str) -> str:
    """Spell a value of a sweep as a list in YAML has it: Hydra writes ``True`` and ``x\\ y``."""
    if text not in ("True", "False") and "\\" not in text:
        return text
    value = parse_override(f"key={text}").value()
    return spelled(value) if isinstance(value, str | bool) else text


def sweeps(
    overrides: Sequence[str], *, config_dirs: Sequence[Path | str] = ()
) -> list[tuple[str, list[str] | None]]:
    """Split overrides into those that stand for several values and those that do not.

    Returns key and values of each in Hydra's syntax of sweeps (``seed=0,1``, ``range(0,3)``,
    ``task=glob(*)``); the whole override and None for any other, also where it cannot be read:
    composing says so. Raises BadRequest with all sweeps that name no single values (an interval).
    """
    found: list[tuple[str, list[str] | None]] = []
    problems: list[str] = []
    for text in overrides:
        key, _, raw = text.partition("=")
        try:
            values = read_sweep(text, config_dirs=config_dirs)
        except BadRequest as error:
            problems += error.problems
            continue
        if isinstance(values, Interval):
            problems.append(
                f"{text}: names no single values; give them one by one, {key}=A,B, or let Optuna"
                f' choose: values: {{{key}: "{raw}"}} below tune of a study.yaml'
            )
        else:
            found.append((text if values is None else key, values))
    if problems:
        raise BadRequest(problems)
    return found
