"""Check a plain configuration against the signatures of the constructors that it names.

``check`` binds every node that has a ``_target_`` to the signature of what it names, validates each
value against its annotation, and lists *all* problems at once, each in one line: key, value, rule,
remedy. Nothing is built before, and of our own classes nothing is imported either: signatures are
read from the source. Validation is pydantic's strict mode *for JSON*: a list may become a tuple and
3 a float, but "5" is no number and true no integer. One thing strict mode refuses is meant by
everyone who types it: ``budget.images=1e6`` is a whole number.

Trap: importing a ``_target_`` runs code, and so does calling a function of our own with somebody's
arguments. For a configuration that came from someone else give ``allowed``, the few paths that it
may name.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
import json
import math
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ssl_patches.config.instantiate import EMPTY, KEYWORD, taken_by
from ssl_patches.config.messages import (
    MISSING,
    BadRequest,
    describe,
    example,
    nearest,
    placeholder,
    shown,
)


def live(supplied: Mapping[str, Collection[str]], key: str) -> set[str]:
    """Return the names that the program gives later to the node at ``key``."""
    return {
        name for path, names in supplied.items() if fnmatch.fnmatchcase(key, path) for name in names
    }


def _holds_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_holds_target, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_target, value))


def _whole(value: Any) -> Any:
    """1e6 -> 1000000, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole(part) for key, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, list | tuple) else value


def _as_text(value: Any) -> Any:
    """Put a question mark for each byte of a name that is no text: JSON takes none of them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_as_text(key): _as_text(part) for key, part in value.items()}
    return [_as_text(part) for part in value] if isinstance(value, list | tuple) else value


LARGEST_NUMBER = 2**53
LARGEST_SIDE = 2**14  # pixels; a view has no more pixels than an image may have
SIDES = ("image_size", "small_size", "load_size")
"""Names of settings that are the side of a square of pixels."""
LONGEST_TEXT = 2000


def _impossible(value: Any) -> str | None:
    """Return the rule that no setting of any kind may break and ``value`` breaks; None: none."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int | float) and abs(value) > LARGEST_NUMBER and value == int(value):
        return None if isinstance(value, float) else "a whole number below 2**53"
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"at most {LONGEST_TEXT} characters long"
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(parts, str | int | float | None):
        return None
    return next(filter(None, map(_impossible, parts)), None)


def _too_large(key: str, value: Any) -> str | None:
    """Return the rule that a side in pixels breaks; None where ``key`` names no side."""
    side = key.rpartition(".")[2] in SIDES and isinstance(value, int | float)
    return f"a side of at most {LARGEST_SIDE:,} px" if side and value > LARGEST_SIDE else None


def _adapters(annotation: Any) -> tuple[list[Any], list[str], bool]:
    """Return validators of what plain data can be, words for the classes that only a node can name,
    and whether there is anything else."""
    from pydantic import PydanticUserError, TypeAdapter

    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    adapters: list[Any] = []
    nodes: list[str] = []
    unknown = False
    for part in typing.get_args(annotation) if union else (annotation,):
        if isinstance(part, type) and dataclasses.is_dataclass(part):
            nodes.append(f"a mapping with the _target_ of a {part.__name__}")
            continue
        try:
            adapters.append(TypeAdapter(part))
        except (PydanticUserError, NameError):
            if isinstance(part, type) and typing.get_origin(part) is None:
                nodes.append(f"a mapping with the _target_ of a {part.__name__}")
            else:
                unknown = True
    return adapters, nodes, unknown


class _Check:
    """One pass over a configuration: collects problems, and returns values with 1e6 made 1000000
    where due."""

    def __init__(
        self, supplied: Mapping[str, Collection[str]], allowed: Sequence[str] | None
    ) -> None:
        self.supplied, self.allowed = supplied, allowed
        self.typed: Mapping[str, str] = {}
        self.problems: list[str] = []

    def value(self, value: Any, key: str, annotation: Any, default: Any = EMPTY) -> Any:
        """Check one value, or the node in its place, against an annotation."""
        from pydantic import ValidationError

        if isinstance(value, str) and value == MISSING:
            self.problems.append(f"{key}: missing; give {key}={placeholder(key, annotation)}")
            return value
        if _holds_target(value):
            return self.inner(value, key)
        if (rule := _too_large(key, value)) is not None:
            self.problems.append(f"{key}={shown(value)}: must be {rule}; set {key}=224 or less")
            return value
        if (rule := _impossible(value)) is not None:
            self.problems.append(
                f"{key}={shown(value)}: must be {rule}; {example(None, key, annotation, default)}"
            )
            return value
        if annotation in (EMPTY, Any):
            return value
        adapters, nodes, unknown = _adapters(annotation)
        reason = "as its annotation says"
        for candidate in (value, _whole(value)):
            for adapter in adapters:
                try:
                    adapter.validate_json(json.dumps(_as_text(candidate)), strict=True)
                except ValidationError as error:
                    reason = (
                        error.errors()[0]["msg"]
                        .replace("Input should be ", "")
                        .replace("Value error, ", "")
                    )
                else:
                    return candidate
        if unknown:
            return value
        rule = " or ".join(
            filter(None, [describe(annotation) or (reason if adapters else None), *nodes])
        )
        raw = self.typed.get(key)
        said = shown(value) if raw is None or not isinstance(value, int | float | None) else raw
        self.problems.append(
            f"{key}={said}: must be {rule}; {example(value, key, annotation, default, raw)}"
        )
        return value

    def inner(self, value: Any, key: str) -> Any:
        """Check the nodes of a container, wherever they are in it."""
        if isinstance(value, Mapping):
            if "_target_" in value:
                return self.target(value, key)
            return {
                name: self.inner(part, f"{key}.{name}".lstrip(".")) for name, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.inner(part, f"{key}.{place}") for place, part in enumerate(value)]
        return self.value(value, key, Any)

    def target(
        self, node: Mapping[str, Any], key: str, aside: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Check a node.

        ``aside``: name -> annotation of what the program reads there itself and the target does not
        get.
        """
        at = f"{key}." if key else ""
        given = {name: value for name, value in node.items() if name != "_target_"}
        try:
            taken = taken_by(node["_target_"], key=f"{at}_target_", allowed=self.allowed)
        except ValueError as error:
            self.problems.append(str(error))
            return {"_target_": node["_target_"], **self.inner(given, key)}
        knobs = dict(taken.knobs)
        for name, kind in (aside or {}).items():
            default = None if type(None) in typing.get_args(kind) else EMPTY
            knobs[name] = inspect.Parameter(name, KEYWORD, annotation=kind, default=default)
        later = live(self.supplied, key)
        offered = [name for name in knobs if name not in later]
        checked = {}
        for name, value in given.items():
            knob, checked[name] = knobs.get(name), value
            if name in later:
                self.problems.append(
                    f"{at}{name}={shown(value)}: is derived by the program; take it out"
                )
            elif name.startswith("_") and name.endswith("_"):
                self.problems.append(
                    f"{at}{name}={shown(value)}: only _target_ is supported; take it out"
                )
            elif knob is None and not taken.anything:
                hint = nearest(name, offered, prefix=at, otherwise="it takes no keys; take it out")
                self.problems.append(f"{at}{name}: unknown key of {taken.name}; {hint}")
            else:
                annotation, default = (knob.annotation, knob.default) if knob else (Any, EMPTY)
                checked[name] = self.value(value, f"{at}{name}", annotation, default)
        for name in offered:
            if knobs[name].default is EMPTY and name not in given:
                self.value(MISSING, f"{at}{name}", knobs[name].annotation)
        return {"_target_": node["_target_"], **checked}

    def record(self, node: Any, schema: Mapping[str, Any], key: str) -> Any:
        """Check a mapping against key -> annotation, or -> a mapping of those."""
        at = f"{key}." if key else ""
        if not isinstance(node, Mapping):
            first = next(iter(schema))
            rule = f"must hold keys ({', '.join(schema)}); set one, such as {at}{first}="
            self.problems.append(f"{key}={shown(node)}: {rule}{placeholder(first, schema[first])}")
            return node
        checked = {}
        for name, value in node.items():
            kind = schema.get(name, EMPTY)
            if isinstance(kind, Mapping) and isinstance(value, Mapping) and "_target_" in value:
                checked[name] = self.target(value, f"{at}{name}", kind)
            elif isinstance(kind, Mapping):
                checked[name] = self.record(value, kind, f"{at}{name}")
            elif kind is EMPTY and not (isinstance(value, Mapping) and _holds_target(value)):
                checked[name] = value
                offered = {*schema, *(other for other in node if _holds_target(node[other]))}
                self.problems.append(
                    f"{at}{name}: unknown key; {nearest(name, offered, prefix=at)}"
                )
            else:
                checked[name] = self.value(value, f"{at}{name}", kind)
        for name, kind in schema.items():
            if name not in node and kind is not Any and type(None) not in typing.get_args(kind):
                self.value(MISSING, f"{at}{name}", dict if isinstance(kind, Mapping) else kind)
        return checked


def check(
    cfg: Mapping[str, Any],
    *,
    supplied: Mapping[str, Collection[str]] | None = None,
    schema: Mapping[str, Any] | None = None,
    allowed: Sequence[str] | None = None,
    typed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Check ``cfg`` and return it with whole floats as ints where ints are due.

    Raises BadRequest with every problem.

    ``supplied``: key path of a node -> names that the program gives later (``{"task": {"dim",
    "grid"}}``; ``*`` in a path matches anything, a list counts from 0: ``parts.*.task``).
    ``schema``: top key -> annotation, or a mapping of them; ``dict`` for a group that must be
    there. Other top keys are refused unless they hold a ``_target_``. A mapping for a group with a
    ``_target_`` lists the keys there that the program reads itself (``{"data": {"batch_size":
    int}}``). ``typed``: key -> its value as it was typed, which messages show.
    """
    run = _Check(supplied or {}, allowed)
    run.typed = typed or {}
    checked = run.inner(cfg, "") if schema is None else run.record(cfg, schema, "")
    if run.problems:
        raise BadRequest(run.problems)
    return checked
