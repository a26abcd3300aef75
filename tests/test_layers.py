"""Rooms stand on floors, files form no circle, every file has its test.

A room is an entry of ``ssl_patches/``. A file imports from lower floors or from its own room, late
imports included; the offending line is named. docs/architecture.md draws the same table.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from small import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
from architecture_page import arrows, floors, imports, modules, room

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

UNTESTED: set[str] = set()
"""Modules without a test file at the mirrored path. May only shrink; the aim is none."""


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


def test_the_page_draws_the_rooms_on_these_floors() -> None:
    assert floors(arrows()) == FLOORS


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


def test_every_module_has_its_test_file() -> None:
    """The test of ``ssl_patches/a/b.py`` is ``tests/a/test_b.py``."""
    missing = set()
    for file in modules().values():
        path = file.relative_to(REPOSITORY / "ssl_patches")
        mirror = REPOSITORY / "tests" / path.with_name(f"test_{path.name}")
        if not path.name.startswith("__") and not mirror.is_file():
            missing.add(str(path))
    new = sorted(missing - UNTESTED)
    assert not new, "\n".join(["these have no tests/FOLDER/test_NAME.py:", *new])


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, ssl_patches; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
