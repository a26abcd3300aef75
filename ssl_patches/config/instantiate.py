"""Find a class by its dotted path, read its signature, and build it from plain settings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ssl_patches.config.definitions import Unreadable
from ssl_patches.config.messages import nearest, shown
from ssl_patches.config.read_source import Taken, evaluated, is_ours, read_signature
from ssl_patches.config.renamed import current

EMPTY, KEYWORD = inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY


def _inside(path: str, packages: Sequence[str]) -> bool:
    return any(f"{path}.".startswith(f"{package.rstrip('.')}.") for package in packages)


def _module(path: str, key: str) -> tuple[Any, list[str]]:
    """Import the longest importable beginning of a dotted path; return it and the names left."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        try:
            return importlib.import_module(name), parts[count:]
        except ModuleNotFoundError as error:
            if error.name is None or not _inside(name, [error.name]):
                raise ValueError(
                    f"{key}={path}: importing {name} needs '{error.name}'; install it"
                ) from error
        except ImportError as error:
            raise ValueError(
                f"{key}={path}: importing {name} failed: {error}; install what it needs"
            ) from error
    raise ValueError(
        f"{key}={path}: no module '{parts[0]}' is installed; install it, or put its folder on"
        " PYTHONPATH (PYTHONPATH=.)"
    )


def locate(
    path: Any, *, key: str = "_target_", allowed: Sequence[str] | None = None
) -> Callable[..., Any]:
    """Find the class or function that a dotted path names.

    ``allowed``: the paths that may be given; None: any. Raises ValueError: not found, not callable,
    not allowed.
    """
    if (
        not isinstance(path, str)
        or path.count(".") < 1
        or not all(part.isidentifier() for part in path.split("."))
    ):
        raise ValueError(
            f"{key}={shown(path)}: must be a dotted path; give one such as package.module.Class"
        )
    path = current(path)
    if allowed is not None and not _is_among(path, allowed):
        raise ValueError(
            f"{key}={shown(path)}: is not among what a configuration from elsewhere may name"
            f" ({', '.join(allowed)}); name your own images by data=..., and your own YAML by"
            " --config-dir"
        )
    found, rest = _module(path, key)
    for name in rest:
        if not hasattr(found, name):
            inner = [module.name for module in pkgutil.iter_modules(getattr(found, "__path__", []))]
            own = (found.__name__, None) if inspect.ismodule(found) else ()
            offered = inner + [
                other
                for other, value in vars(found).items()
                if getattr(value, "__module__", 0) in own
            ]
            hint = nearest(
                name,
                [other for other in offered if other[0] != "_"],
                otherwise="check the spelling",
            )
            raise ValueError(
                f"{key}={path}: {getattr(found, '__name__', path)} has no '{name}'; {hint}"
            )
        found = getattr(found, name)
    if not callable(found):
        raise ValueError(f"{key}={path}: must name a class or a function")
    return found


def _is_among(path: str, allowed: Sequence[str]) -> bool:
    """Tell whether ``path`` is one of ``allowed``, or the place where one of these is defined.

    Nothing is imported that ``allowed`` does not name.
    """
    if path in allowed:
        return True
    top = path.partition(".")[0]
    for name in allowed:
        if name.partition(".")[0] == top:
            found = locate(name)
            if path == f"{found.__module__}.{getattr(found, '__qualname__', '')}":
                return True
    return False


def signature(target: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return what may be given to ``target`` by keyword, and whether any other keyword may be too.

    Annotations are evaluated where they can be.
    """
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # written in C, without a signature
        return {}, True
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    space = getattr(function, "__globals__", {})
    hints = {
        name: evaluated(annotation, space)  # one by one: a name that exists for type checkers
        for name, annotation in getattr(function, "__annotations__", {}).items()  # only hides none
    }
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    knobs = {
        p.name: p.replace(annotation=hints.get(p.name, EMPTY))
        for p in parameters
        if p.kind in named
    }
    return knobs, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def taken_by(path: Any, *, key: str = "_target_", allowed: Sequence[str] | None = None) -> Taken:
    """Return what a dotted path names takes: from its source where it is ours, else imported.

    ``allowed``: as for ``locate``. Raises ValueError as ``locate``.
    """
    today = current(path) if isinstance(path, str) else ""
    if is_ours(today) and (allowed is None or today in allowed):
        try:
            return read_signature(today)
        except Unreadable:
            pass
    found = locate(path, key=key, allowed=allowed)
    return Taken(getattr(found, "__qualname__", str(path)), *signature(found))


def knobs_of(
    node: Mapping[str, Any], allowed: Sequence[str] | None = None
) -> Collection[str] | None:
    """Return the names that the ``_target_`` of a node takes.

    None where that cannot be said (``check`` says why).
    """
    try:
        taken = taken_by(node["_target_"], allowed=allowed)
    except ValueError:
        return None
    return None if taken.anything else list(taken.knobs)


def build(
    node: Mapping[str, Any], /, *, allowed: Sequence[str] | None = None, **supplied: Any
) -> Any:
    """Call what ``_target_`` names with the node's keys and ``supplied``; nodes inside are built
    first.

    Raises ValueError when the node cannot be built; what the constructor raises passes through
    unchanged.
    """
    if "_target_" not in node:
        raise ValueError(f"{shown(node)}: has no _target_; give one such as package.module.Class")
    target = locate(node["_target_"], allowed=allowed)
    given = {name: _built(value, allowed) for name, value in node.items() if name != "_target_"}
    for name in given:
        if name in supplied:
            raise ValueError(
                f"{name}={shown(given[name])}: is derived by the program; take it out of the node"
            )
        if name.startswith("_") and name.endswith("_"):
            raise ValueError(
                f"{name}={shown(given[name])}: only _target_ is supported; take it out"
            )
    _refuse_unfit(target, node["_target_"], [*given, *supplied])
    return target(**given, **supplied)


def _refuse_unfit(target: Callable[..., Any], path: str, names: Sequence[str]) -> None:
    """Raise ValueError where a constructor does not take what it will be given."""
    try:
        inspect.signature(target).bind(**dict.fromkeys(names))
    except TypeError as error:
        raise ValueError(
            f"_target_={path}: its constructor cannot be called with"
            f" {', '.join(names) or 'nothing'} ({error}); let it take these as keywords, and give"
            " all others defaults"
        ) from None
    except ValueError:  # written in C, without a signature
        return


def _built(value: Any, allowed: Sequence[str] | None) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, allowed=allowed)
        return {name: _built(part, allowed) for name, part in value.items()}
    return [_built(part, allowed) for part in value] if isinstance(value, list | tuple) else value
