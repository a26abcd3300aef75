"""Word what is wrong with a request: key, value, rule, remedy, in one line, with the nearest name
that there is."""

from __future__ import annotations

import difflib
import enum
import inspect
import json
import re
import shlex
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.plain_text import in_lines

Say = Callable[[str], None]
"""A function that takes a line of progress from a command, such as ``print``."""

MISSING = "???"
EMPTY = inspect.Parameter.empty
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    Path: "a path",
    list: "a list",
    tuple: "a list",
    dict: "a mapping of keys to values",
}
_EXAMPLES = {
    int: "1",
    float: "0.5",
    bool: "true",
    str: "TEXT",
    type(None): "null",
    Path: "DIR",
    list: "[...]",
}


class BadRequest(ValueError):
    """Raised when a request cannot be carried out; ``problems`` has one line for each reason.

    ``guess`` is the configuration that was meant if every nearest name was: good for judging the
    rest, not to be run.
    """

    def __init__(self, problems: Iterable[str], guess: dict[str, Any] | None = None) -> None:
        self.problems, self.guess = list(problems), guess
        super().__init__(self.problems, guess)

    def __str__(self) -> str:
        return in_lines(self.problems)


class Failed(RuntimeError):
    """Raised when a valid request fails at run time.

    The command line prints the message without a traceback and exits with 1. ``run_dir``: of a run
    that can go on; the message says how.
    """

    def __init__(self, message: str, run_dir: Path | None = None) -> None:
        super().__init__(message, run_dir)
        self.message, self.run_dir = message, run_dir

    def __str__(self) -> str:
        return self.told()

    def told(self, before: str = "") -> str:
        """Return the message; ``before``: what is typed before run_dir= to go on with the run."""
        if self.run_dir is None:
            return self.message
        return f"{self.message}; go on with {before}run_dir={self.run_dir} resume=true"


def closest(name: str, offered: Iterable[str]) -> str | None:
    """Return the one name that was probably meant, or None."""
    offered = sorted(offered)
    lower = {other.lower(): other for other in offered}
    if found := difflib.get_close_matches(name, offered, n=1) or difflib.get_close_matches(
        name.lower(), lower, n=1
    ):
        return found[0] if found[0] in offered else lower[found[0]]
    return next(
        (lower[other] for other in lower if len(name) > 2 and other.startswith(name.lower())), None
    )


def nearest(
    name: str, offered: Collection[str], *, prefix: str = "", otherwise: str = "take it out"
) -> str:
    """Return the remedy for a name that is not among those offered."""
    if guess := closest(name, offered):
        return f"did you mean '{prefix}{guess}'?"
    return f"choose among: {', '.join(sorted(offered))}" if offered else otherwise


def shown(value: Any) -> str:
    """Return a value as it is typed on the command line, cut to 80 characters.

    Text that would read as something else is quoted.
    """
    if isinstance(value, str):
        plain = (
            value and value.isprintable() and value == value.strip() and _reads_as(value) is value
        )
        text = value if plain else json.dumps(value)
    else:
        text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _reads_as(text: str) -> Any:
    """Return what the command line makes of unquoted text."""
    if text.lower() in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def describe(annotation: Any) -> str | None:
    """Put an annotation into words; None where there are none for it."""
    if isinstance(annotation, type) and annotation in _NAMES:
        return _NAMES[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Annotated, Callable):
        return None
    if origin is typing.Literal:
        return f"one of {', '.join(map(shown, args))}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return f"one of {', '.join(shown(member.value) for member in annotation)}"
    parts = [describe(part) for part in args if part is not ...]
    if origin in (typing.Union, types.UnionType):
        return " or ".join(filter(None, parts)) or None
    if None in parts and Any not in args:
        return None
    if origin is tuple and ... not in args:
        return f"a list of {len(parts)}: {', '.join(map(str, parts))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping of keys to values" + (f", each {parts[1]}" if parts[1] else "")
    if isinstance(origin, type) and issubclass(origin, Collection | Sequence):
        return "a list" + (f", each {parts[0]}" if parts[0] else "")
    return None


def placeholder(key: str, annotation: Any) -> str:
    """Return what stands for the value in ``give KEY=...``."""
    name = key.rpartition(".")[2]
    if name in ("root", "dir", "folder", "output") or name.endswith(("_dir", "_root")):
        return "DIR"
    if name in ("file", "path", "checkpoint"):
        return "FILE"
    return _EXAMPLES.get(annotation, "VALUE")


def typed(key: str, text: str) -> str:
    """Return the word to type in a shell for which ``key`` is the text ``text``, whatever it is."""
    inside = re.sub(r'(\\*)"', r"\1\1\\" + '"', text)
    inside += "\\" * (len(inside) - len(inside.rstrip("\\")))
    word = f'{key}="{inside}"'
    return shlex.quote(word) if "'" in word else f"'{word}'"


def _of_a_list(annotation: Any) -> type | None:
    """Return the type of the items of a list; None where the annotation is no such list."""
    for each in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(each) is list and isinstance(typing.get_args(each)[0], type):
            return typing.get_args(each)[0]
    return None


def example(
    value: Any, key: str, annotation: Any, default: Any = EMPTY, raw: str | None = None
) -> str:
    """Return the remedy for a value of the wrong kind; ``raw``: how it was typed."""
    kinds = {annotation, *typing.get_args(annotation)}
    choices = [choice for choice in typing.get_args(annotation) if isinstance(choice, str)]
    if (
        isinstance(value, str)
        and typing.get_origin(annotation) is typing.Literal
        and closest(value, choices)
    ):
        return f"did you mean {key}={closest(value, choices)}?"
    if (items := _of_a_list(annotation)) and not isinstance(value, Mapping | type(None)):
        if isinstance(value, items):
            return f"a list of one is '{key}=[{shown(value) if raw is None else raw}]'"
        return f"give a list: '{key}=[{_EXAMPLES.get(items, 'VALUE')}]'"
    if isinstance(value, str) and type(_reads_as(value)) in kinds - {str}:
        return f"set {key}={value} without quotes"
    if {str, Path} & kinds and not isinstance(value, Mapping | list | type(None)):
        return f"quote it: {typed(key, raw if raw is not None else str(value))}"
    if isinstance(default, str | int | float | list | tuple | None):
        return f"the default is {key}={shown(default)}"
    known = [
        _EXAMPLES[kind] for kind in (annotation, *typing.get_args(annotation)) if kind in _EXAMPLES
    ]
    return f"set {key}={(choices + known + ['VALUE'])[0]}"
