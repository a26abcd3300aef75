"""Read what a class or function takes from its source: nothing is imported, so it comes at once.

Checking a request needs names, types and defaults; importing what a request names loads torch,
Lightning and timm, which takes seconds. ``read`` gives the parameters that ``inspect.signature``
would give, with annotations evaluated; base classes are followed. A class of our own that an
annotation names is stood in for by an empty one of the same name: plain settings can never be one,
whatever it holds.

Trap: it never guesses. ``Unreadable`` is raised for everything else (a decorator, a default that is
computed, a type of another library), and whoever asked imports the module after all.
tests/config/test_read_source.py holds every class that conf/ names to its real signature.
"""

from __future__ import annotations

import ast
import importlib
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from functools import lru_cache
from inspect import Parameter
from typing import Any

from ssl_patches.config.definitions import (
    OURS,
    Function,
    Place,
    Unreadable,
    located,
    names_of,
    where,
)

EMPTY = Parameter.empty
_BARE = ("abc.ABC", "typing.Protocol", "typing.Generic")
"""Classes elsewhere that leave the constructor to those who derive from them."""


@dataclass(frozen=True)
class Taken:
    """What a class or function takes: ``name``, parameters, and whether any other keyword too."""

    name: str
    knobs: dict[str, Parameter]
    anything: bool


def read_signature(path: str) -> Taken:
    """Return what the class or function at a dotted path takes. Unreadable, see above."""
    place = located(path)
    arguments, fields = _constructor(place)
    knobs = {
        name: Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=EMPTY if default is None else _default(place.module, default),
            annotation=EMPTY if annotation is None else _annotation(place.module, annotation),
        )
        for place, name, annotation, default in fields
    }
    return Taken(place.name, knobs, arguments is not None and arguments.kwarg is not None)


def names_with_default(path: str) -> list[str]:
    """Return the parameters that have a default; nothing is evaluated. Unreadable, see above."""
    return [name for _, name, _, default in _constructor(located(path))[1] if default is not None]


def is_ours(path: str) -> bool:
    """Tell whether a dotted path leads into this package, whose source lies beside this file."""
    return path.partition(".")[0] == OURS


def evaluated(annotation: Any, space: dict[str, Any]) -> Any:
    """Return an annotation with its names looked up in ``space``; ``EMPTY`` where that fails.

    One name may exist for type checkers only.
    """
    lone = type("lone", (), {"__annotations__": {"it": annotation}})
    try:
        hints = typing.get_type_hints(
            lone, globalns=space, localns=dict(space), include_extras=True
        )
    except (NameError, TypeError, AttributeError, SyntaxError):
        return EMPTY
    return hints["it"]


_Field = tuple[Place, str, "ast.expr | None", "ast.expr | None"]
"""Where it stands, name, annotation, default."""


def _constructor(place: Place) -> tuple[ast.arguments | None, list[_Field]]:
    node = place.node
    if isinstance(node, Function):
        return _of_function(place, node)
    if not isinstance(node, ast.ClassDef) or node.keywords:
        raise Unreadable(place.path)
    stored = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    if {"__init__", "__new__"} & stored:  # assigned
        raise Unreadable(place.path)
    decorated = _is_dataclass(place, node)
    methods = {each.name: each for each in node.body if isinstance(each, Function)}
    if "__new__" in methods:
        raise Unreadable(place.path)
    if "__init__" in methods:
        given, all_of_them = _of_function(place, methods["__init__"])
        return given, all_of_them[1:]  # without self
    inherited: list[_Field] = []
    bases = [base for each in node.bases if (base := _base(place, each)) is not None]
    if len(bases) > 1:
        raise Unreadable(place.path)
    arguments: ast.arguments | None = None
    if bases:
        arguments, inherited = _constructor(bases[0])
    if not decorated:
        return arguments, inherited
    if bases and not (
        isinstance(base_node := bases[0].node, ast.ClassDef) and _is_dataclass(bases[0], base_node)
    ):
        raise Unreadable(place.path)
    fields_by_name = {field[1]: field for field in inherited}
    for field in _fields(place, node):
        fields_by_name[field[1]] = field
    return None, list(fields_by_name.values())


def _of_function(place: Place, node: Function) -> tuple[ast.arguments, list[_Field]]:
    """Return the arguments that may be given by keyword; with ``self``, where there is one."""
    if node.decorator_list or node.args.posonlyargs:
        raise Unreadable(place.path)
    given = node.args
    padding: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
    pairs = [
        *zip(given.args, [*padding, *given.defaults], strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]
    return given, [(place, each.arg, each.annotation, default) for each, default in pairs]


def _is_dataclass(place: Place, node: ast.ClassDef) -> bool:
    for each in node.decorator_list:
        name = each.func if isinstance(each, ast.Call) else each
        options = each.keywords if isinstance(each, ast.Call) else []
        if where(place.module, name).path != "dataclasses.dataclass" or any(
            option.arg == "init" for option in options
        ):
            raise Unreadable(place.path)
    return bool(node.decorator_list)


def _base(place: Place, node: ast.expr) -> Place | None:
    """Return a base class to look for a constructor in; None for one that has none."""
    base = where(place.module, node.value if isinstance(node, ast.Subscript) else node)
    if base.node is not None:
        return base
    if base.path in _BARE:
        return None
    raise Unreadable(base.path)


def _fields(place: Place, node: ast.ClassDef) -> Iterator[_Field]:
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        kind = ast.unparse(each.annotation)
        if "ClassVar" in kind:
            continue
        if "InitVar" in kind or "KW_ONLY" in kind or isinstance(each.value, ast.Call):
            raise Unreadable(place.path)
        yield place, each.target.id, each.annotation, each.value


def _annotation(module: str, node: ast.expr) -> Any:
    """Evaluate an annotation, as ``typing.get_type_hints`` would in the imported module."""
    text = ast.unparse(node)
    quoted = any(
        isinstance(each, ast.Constant) and each.value.__class__ is str for each in ast.walk(node)
    )
    if quoted and "Literal[" not in text:  # names in quotes: nobody writes them here
        raise Unreadable(text)
    return evaluated(text, _space(module, node))


def _default(module: str, node: ast.expr) -> Any:
    """Evaluate a default or an alias, in which nothing is called."""
    try:
        return eval(compile(ast.Expression(node), module, "eval"), _space(module, node))
    except (NameError, TypeError, AttributeError) as error:
        raise Unreadable(ast.unparse(node)) from error


def _space(module: str, node: ast.expr) -> dict[str, Any]:
    """Return the names in an expression with their values. Unreadable where something is called."""
    parts = list(ast.walk(node))
    if any(isinstance(part, ast.Call | ast.Lambda | ast.NamedExpr | ast.Await) for part in parts):
        raise Unreadable(ast.unparse(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)} & {*names_of(module)}
    return {name: _value(where(module, ast.Name(name))) for name in names}


@lru_cache(maxsize=256)
def _value(place: Place) -> Any:
    """Return what a name stands for in an annotation or a default."""
    node = place.node
    if isinstance(node, ast.ClassDef):
        return _stand_in(place, node)
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        return _default(place.module, node.value)
    if node is None and place.module.partition(".")[0] in sys.stdlib_module_names:
        found = importlib.import_module(place.module)
        return getattr(found, place.name) if place.name else found
    raise Unreadable(place.path)


def _stand_in(place: Place, node: ast.ClassDef) -> type:
    """Return an empty class of the same name, for one that plain data can never be."""
    if node.keywords:
        raise Unreadable(place.path)
    if _is_dataclass(place, node):
        return make_dataclass(node.name, ())
    for each in node.bases:
        base = where(place.module, each.value if isinstance(each, ast.Subscript) else each)
        if isinstance(base.node, ast.ClassDef):
            _stand_in(base, base.node)
        elif not base.path.startswith(("torch.", *_BARE)):
            raise Unreadable(place.path)
    return type(node.name, (), {})
