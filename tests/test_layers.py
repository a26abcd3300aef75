"""The house stays tidy: floors, no circles, few rooms; the offending line is named.

A room is an entry of ``ssl_patches/``. A file imports from lower floors or from its own room, late
imports included, and no files form a circle. docs/architecture.md draws the same table.
"""

from __future__ import annotations

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from small import REPOSITORY

PACKAGE = REPOSITORY / "ssl_patches"
FLOORS = {
    "types": 1,
    "config": 1,
    "data": 2,
    "views": 2,
    "encoders": 2,
    "sampler": 3,
    "tasks": 3,
    "evaluation": 3,
    "export": 3,
    "training": 4,
    "testing": 4,
    "studies": 5,
    "__init__": 5,
    "cli": 6,
    "__main__": 7,
}
"""Room -> floor: the way of the data upwards, from the records to the command line."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the package; a folder is its ``__init__``."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports() -> list[tuple[str, str, str]]:
    """(importing module, imported module, "file:line: statement") of every import in the package,
    late ones too."""
    found = []
    for name, file in modules().items():
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno}: imports are written in full"
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for target in targets:
                while target and target not in modules():
                    target = target.rpartition(".")[0]
                if target and target != name:
                    line = (ast.get_source_segment(text, node) or "").splitlines()[0]
                    found.append(
                        (name, target, f"{file.relative_to(REPOSITORY)}:{node.lineno}: {line}")
                    )
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_stands_on_a_floor() -> None:
    assert {room(module) for module in modules()} == set(FLOORS)
    assert max(FLOORS.values()) <= 7
    assert len(FLOORS) <= 15


def test_no_file_imports_from_above_or_beside() -> None:
    upward = [
        where
        for module, target, where in imports()
        if room(module) != room(target) and FLOORS[room(target)] >= FLOORS[room(module)]
    ]
    assert not upward, "\n".join(["these import from a floor that is not below:", *upward])


def test_no_circles_between_files() -> None:
    graph: dict[str, dict[str, str]] = {}
    for module, target, where in imports():
        graph.setdefault(module, {})[target] = where
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            circle = [*path[path.index(module) :], module]
            lines = [graph[one][other] for one, other in pairwise(circle)]
            pytest.fail("\n".join(["a circle of imports:", *lines]))
        if module not in done:
            for target in graph.get(module, {}):
                visit(target, [*path, module])
            done.add(module)

    for module in modules():
        visit(module, [])


def test_importing_the_package_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, ssl_patches; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
