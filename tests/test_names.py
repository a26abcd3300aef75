"""A public name means one thing: no two modules define the same one for different things."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ssl_patches"
SAME_MEANING = {
    "main": "the entry point of a module that is started as a program",
    "compose": "settings of one task, and of a mixture",
    "request": "checked settings of one task, and of a mixture",
    "pretrain": "the command from Python, and what it runs",
    "normalised": "export/reload.py runs where the package is not installed",
}


def test_no_public_name_is_defined_twice_for_different_things():
    where = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                where[node.name].append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    twice = {name: places for name, places in where.items() if len(places) > 1}
    assert set(twice) == set(SAME_MEANING), twice
