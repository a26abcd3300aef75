"""The constructor's signature is the schema: check a plain configuration against it, then build from it.

``check`` binds every node that has a ``_target_`` to the signature of what it names, validates each value against its
annotation, and lists *all* problems at once, each in one line: key, value, rule, remedy. Nothing is built before.
Validation is pydantic's strict mode *for JSON*: a list may become a tuple and 3 a float, but "5" is no number and true
no integer. One thing strict mode refuses is meant by everyone who types it: ``budget.images=1e6`` is a whole number.

Trap: importing a ``_target_`` runs code. For a configuration that came from someone else give ``allowed`` packages, as
narrow as possible; what the path leads to must be a class or function defined there, not merely imported there.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ssl_patches.wording import MISSING, BadRequest, describe, example, nearest, placeholder, shown

_EMPTY, _KEYWORD = inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY


def _inside(path: str, packages: Sequence[str]) -> bool:
    return any(f"{path}.".startswith(f"{package.rstrip('.')}.") for package in packages)


def _module(path: str, key: str) -> tuple[Any, list[str]]:
    """The longest importable beginning of a dotted path, and the names that are left."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        try:
            return importlib.import_module(name), parts[count:]
        except ModuleNotFoundError as error:
            if error.name is None or not _inside(name, [error.name]):
                raise ValueError(f"{key}={path}: importing {name} needs '{error.name}'; install it") from error
        except ImportError as error:
            raise ValueError(f"{key}={path}: importing {name} failed: {error}; install what it needs") from error
    raise ValueError(
        f"{key}={path}: no module '{parts[0]}' is installed; install it, or put its folder on PYTHONPATH (PYTHONPATH=.)"
    )


def locate(path: Any, *, key: str = "_target_", allowed: Sequence[str] | None = None) -> Callable[..., Any]:
    """The class or function that a dotted path names. Raises ValueError: not found, not callable, not allowed."""
    if not isinstance(path, str) or path.count(".") < 1 or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"{key}={shown(path)}: must be a dotted path; give one such as package.module.Class")
    refusal = f"{key}={path}: is not from an allowed package; allowed: {', '.join(allowed or ())}; give a class of these"
    if allowed is not None and not _inside(path, allowed):
        raise ValueError(refusal)
    found, rest = _module(path, key)
    for name in rest:
        if not hasattr(found, name):
            inner = [module.name for module in pkgutil.iter_modules(getattr(found, "__path__", []))]
            own = (found.__name__, None) if inspect.ismodule(found) else ()
            offered = inner + [other for other, value in vars(found).items() if getattr(value, "__module__", 0) in own]
            hint = nearest(name, [other for other in offered if other[0] != "_"], otherwise="check the spelling")
            raise ValueError(f"{key}={path}: {getattr(found, '__name__', path)} has no '{name}'; {hint}")
        found = getattr(found, name)
    if not callable(found):
        raise ValueError(f"{key}={path}: must name a class or a function")
    if allowed is not None and not (inspect.isroutine(found) or inspect.isclass(found)):
        raise ValueError(refusal)
    if allowed is not None and not _inside(str(getattr(found, "__module__", "")), allowed):
        raise ValueError(refusal)
    return found


def signature(target: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """What may be given by keyword (annotations evaluated where they can be), and whether anything else may be too."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # written in C, without a signature
        return {}, True
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    space = getattr(function, "__globals__", {})
    hints = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        lone = type("lone", (), {"__annotations__": {name: annotation}})
        try:  # one by one: a name that exists for type checkers only must not hide the others
            hints |= typing.get_type_hints(lone, globalns=space, localns=dict(space), include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError):
            continue
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    knobs = {p.name: p.replace(annotation=hints.get(p.name, _EMPTY)) for p in parameters if p.kind in named}
    return knobs, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def knobs_of(node: Mapping[str, Any]) -> Collection[str] | None:
    """Names that the ``_target_`` of a node takes; None where that cannot be said (``check`` will say why)."""
    try:
        knobs, anything = signature(locate(node["_target_"]))
    except ValueError:
        return None
    return None if anything else list(knobs)


def live(supplied: Mapping[str, Collection[str]], key: str) -> set[str]:
    """What the program gives later to the node at ``key``."""
    return {name for path, names in supplied.items() if fnmatch.fnmatchcase(key, path) for name in names}


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


def _adapters(annotation: Any) -> tuple[list[Any], list[str], bool]:
    """Validators of what plain data can be, words for classes it can only name by a node, and is there anything else?"""
    from pydantic import PydanticUserError, TypeAdapter

    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    adapters, nodes, unknown = [], [], False
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
    """One pass over a configuration: collects problems, and returns values with 1e6 made 1000000 where due."""

    def __init__(self, supplied: Mapping[str, Collection[str]], allowed: Sequence[str] | None) -> None:
        self.supplied, self.allowed, self.problems = supplied, allowed, []

    def value(self, value: Any, key: str, annotation: Any, default: Any = _EMPTY) -> Any:
        from pydantic import ValidationError

        if isinstance(value, str) and value == MISSING:
            self.problems.append(f"{key}: missing; give {key}={placeholder(key, annotation)}")
            return value
        if _holds_target(value):
            return self.inner(value, key)
        if annotation in (_EMPTY, Any):
            return value
        adapters, nodes, unknown = _adapters(annotation)
        reason = "as its annotation says"
        for candidate in (value, _whole(value)):
            for adapter in adapters:
                try:
                    adapter.validate_json(json.dumps(candidate), strict=True)
                except ValidationError as error:
                    reason = error.errors()[0]["msg"].replace("Input should be ", "").replace("Value error, ", "")
                else:
                    return candidate
        if unknown:
            return value
        rule = " or ".join(filter(None, [describe(annotation) or (adapters and reason), *nodes]))
        self.problems.append(f"{key}={shown(value)}: must be {rule}; {example(value, key, annotation, default)}")
        return value

    def inner(self, value: Any, key: str) -> Any:
        """A container that holds nodes somewhere."""
        if isinstance(value, Mapping):
            if "_target_" in value:
                return self.target(value, key)
            return {name: self.inner(part, f"{key}.{name}".lstrip(".")) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.inner(part, f"{key}.{place}") for place, part in enumerate(value)]
        return self.value(value, key, Any)

    def target(self, node: Mapping[str, Any], key: str, aside: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A node; ``aside``: name -> annotation of what the program reads there itself and the target does not get."""
        at = f"{key}." if key else ""
        given = {name: value for name, value in node.items() if name != "_target_"}
        try:
            found = locate(node["_target_"], key=f"{at}_target_", allowed=self.allowed)
        except ValueError as error:
            self.problems.append(str(error))
            return {"_target_": node["_target_"], **self.inner(given, key)}
        knobs, anything = signature(found)
        for name, kind in (aside or {}).items():
            default = None if type(None) in typing.get_args(kind) else _EMPTY
            knobs[name] = inspect.Parameter(name, _KEYWORD, annotation=kind, default=default)
        later = live(self.supplied, key)
        offered = [name for name in knobs if name not in later]
        checked = {}
        for name, value in given.items():
            knob, checked[name] = knobs.get(name), value
            if name in later:
                self.problems.append(f"{at}{name}={shown(value)}: is derived by the program; take it out")
            elif name.startswith("_") and name.endswith("_"):
                self.problems.append(f"{at}{name}={shown(value)}: only _target_ is supported; take it out")
            elif knob is None and not anything:
                hint = nearest(name, offered, prefix=at, otherwise="it takes no keys; take it out")
                self.problems.append(f"{at}{name}: unknown key of {found.__qualname__}; {hint}")
            else:
                annotation, default = (knob.annotation, knob.default) if knob else (Any, _EMPTY)
                checked[name] = self.value(value, f"{at}{name}", annotation, default)
        for name in offered:
            if knobs[name].default is _EMPTY and name not in given:
                self.value(MISSING, f"{at}{name}", knobs[name].annotation)
        return {"_target_": node["_target_"], **checked}

    def record(self, node: Any, schema: Mapping[str, Any], key: str) -> Any:
        at = f"{key}." if key else ""
        if not isinstance(node, Mapping):
            first = next(iter(schema))
            rule = f"must hold keys ({', '.join(schema)}); set one, such as {at}{first}="
            self.problems.append(f"{key}={shown(node)}: {rule}{placeholder(first, schema[first])}")
            return node
        checked = {}
        for name, value in node.items():
            kind = schema.get(name, _EMPTY)
            if isinstance(kind, Mapping) and isinstance(value, Mapping) and "_target_" in value:
                checked[name] = self.target(value, f"{at}{name}", kind)
            elif isinstance(kind, Mapping):
                checked[name] = self.record(value, kind, f"{at}{name}")
            elif kind is _EMPTY and not (isinstance(value, Mapping) and _holds_target(value)):
                checked[name] = value
                offered = {*schema, *(other for other in node if _holds_target(node[other]))}
                self.problems.append(f"{at}{name}: unknown key; {nearest(name, offered, prefix=at)}")
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
) -> dict[str, Any]:
    """Raises BadRequest with every problem of ``cfg``; returns it with whole floats as ints where ints are due.

    ``supplied``: key path of a node -> names that the program gives later (``{"task": {"dim", "grid"}}``; ``*`` in a
    path matches anything, a list counts from 0: ``parts.*.task``). ``schema``: top key -> annotation, or a mapping of
    them; ``dict`` for a group that must be there. Other top keys are refused unless they hold a ``_target_``. A mapping
    for a group with a ``_target_`` lists the keys there that the program reads itself (``{"data": {"batch_size": int}}``).
    """
    run = _Check(supplied or {}, allowed)
    checked = run.inner(cfg, "") if schema is None else run.record(cfg, schema, "")
    if run.problems:
        raise BadRequest(run.problems)
    return checked


def build(node: Mapping[str, Any], /, *, allowed: Sequence[str] | None = None, **supplied: Any) -> Any:
    """Call what ``_target_`` names with the node's keys and ``supplied``; nodes inside are built first.

    Raises ValueError when the node cannot be built; what the constructor raises passes through unchanged.
    """
    if "_target_" not in node:
        raise ValueError(f"{shown(node)}: has no _target_; give one such as package.module.Class")
    target = locate(node["_target_"], allowed=allowed)
    given = {name: _built(value, allowed) for name, value in node.items() if name != "_target_"}
    for name in given:
        if name in supplied:
            raise ValueError(f"{name}={shown(given[name])}: is derived by the program; take it out of the node")
        if name.startswith("_") and name.endswith("_"):
            raise ValueError(f"{name}={shown(given[name])}: only _target_ is supported; take it out")
    return target(**given, **supplied)


def _built(value: Any, allowed: Sequence[str] | None) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, allowed=allowed)
        return {name: _built(part, allowed) for name, part in value.items()}
    return [_built(part, allowed) for part in value] if isinstance(value, list | tuple) else value
