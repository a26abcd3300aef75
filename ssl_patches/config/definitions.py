"""Find where a name is defined by reading sources: nothing is imported.

Imports and other names of the same thing are followed, in this package and in the package of the
module that asks. What others define is named and not looked at.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

OURS = __name__.partition(".")[0]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unreadable(Exception):
    """Raised where the source alone does not say what a name stands for."""


@dataclass(frozen=True)
class Place:
    """A name where it is defined.

    ``node``: the statement there; None for ``module.name`` of a library, which is not read, and for
    a module itself (``name`` is then empty or the last part).
    """

    module: str
    node: ast.stmt | None
    name: str

    @property
    def path(self) -> str:
        """Return the dotted path."""
        return f"{self.module}.{self.name}".rstrip(".")


def located(path: str) -> Place:
    """Return where what a dotted path names is defined. Unreadable where that is not said."""
    module, _, name = path.rpartition(".")
    return _followed(module, name, home=module)


def where(module: str, node: ast.expr) -> Place:
    """Return where ``Name`` or ``module.Name`` in a source of ``module`` is defined.

    Unreadable for any other expression, and where it is not said.
    """
    if isinstance(node, ast.Name):
        if node.id not in names_of(module) and hasattr(builtins, node.id):
            return Place("builtins", None, node.id)
        return _followed(module, node.id, home=module)
    if isinstance(node, ast.Attribute):
        inside = where(module, node.value)
        if inside.node is None:
            return _followed(inside.path, node.attr, home=module)
    raise Unreadable(ast.unparse(node))


@lru_cache(maxsize=256)
def _tree(module: str) -> tuple[ast.Module, bool] | None:
    """Return the parsed module and whether it is a package; None where there is no source."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    for root in spec.submodule_search_locations or [(spec.origin or "").removesuffix(".py")]:
        place = Path(root, *rest)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                source = file.read_text(encoding="utf-8")
                return ast.parse(source), file.name == "__init__.py"
    return None


@lru_cache(maxsize=256)
def names_of(module: str) -> Mapping[str, Place | None]:
    """Return name -> where it comes from, of what a module defines; None: it may be anything.

    Names that exist for type checkers only are left out. Unreadable where there is no source.
    """
    if (found := _tree(module)) is None:
        raise Unreadable(module)
    tree, is_package = found
    names: dict[str, Place | None] = {}
    for node in tree.body:
        for name, place in _defined(node, module, is_package):
            names[name] = None if name in names else place
    return names


def _defined(node: ast.stmt, module: str, package: bool) -> Iterator[tuple[str, Place | None]]:
    if isinstance(node, ast.Import):
        for each in node.names:
            first = each.name if each.asname else each.name.partition(".")[0]
            yield each.asname or first, Place(first, None, "")
    elif isinstance(node, ast.ImportFrom):
        base = module.split(".")[: None if package else -1]
        base = base[: len(base) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        for each in node.names:
            yield each.asname or each.name, Place(source, None, each.name)
    elif isinstance(node, ast.ClassDef | Function):
        yield node.name, Place(module, node, node.name)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            plain = isinstance(target, ast.Name)
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    yield part.id, Place(module, node, part.id) if plain else None
    elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id, None
            elif isinstance(part, ast.ClassDef | Function):
                yield part.name, None
            elif isinstance(part, ast.alias):
                yield part.asname or part.name.partition(".")[0], None


def _followed(module: str, name: str, *, home: str) -> Place:
    """Return where a name of a module is defined, through imports and other names of it.

    ``home``: the module that asks; see ``_is_read``. Unreadable where it goes round in circles.
    """
    for _ in range(20):
        if not _is_read(module, home):
            return Place(module, None, name)
        place = names_of(module).get(name)
        if place is None:
            raise Unreadable(f"{module}.{name}")
        if isinstance(place.node, ast.Assign) and isinstance(place.node.value, ast.Name):
            name = place.node.value.id
        elif place.node is not None or not place.name or _is_read(place.path, home):
            return place  # a statement, or a module
        else:
            module, name = place.module, place.name
    raise Unreadable(f"{module}.{name}")


def _is_read(module: str, home: str) -> bool:
    """Tell whether the source of a module is read: ours, and the package that asks.

    What others define is named and not looked at.
    """
    top = module.partition(".")[0]
    return top in (OURS, home.partition(".")[0]) and _tree(module) is not None
