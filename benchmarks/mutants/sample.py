"""Keep a sample of the mutants in a session of cosmic-ray: ``python sample.py SESSION COUNT SEED``.

Annotations are no code (they are never evaluated), so mutants in them are left out first.
"""

from __future__ import annotations

import ast
import random
import sys
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end in a source: (line, column) of both."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(each, ast.expr):
                end = each.end_lineno or each.lineno, each.end_col_offset or each.col_offset
                found.append(((each.lineno, each.col_offset), end))
    return found


def main(session: str, count: str, seed: str) -> None:
    """Draw and keep; print how many there were."""
    with use_db(session, WorkDB.Mode.open) as db:
        items = [item for item in db.work_items if "NoOp" not in item.mutations[0].operator_name]
        places = annotations(Path(items[0].mutations[0].module_path).read_text(encoding="utf-8"))
        items = [
            item
            for item in items
            if not any(a <= tuple(item.mutations[0].start_pos) < b for a, b in places)
        ]
        items.sort(key=lambda item: _key(item.mutations[0]))
        chosen = random.Random(int(seed)).sample(items, min(int(count), len(items)))
        db.clear()
        db.add_work_items(chosen)
    print(f"{items[0].mutations[0].module_path}: {len(chosen)} of {len(items)} mutants")


def _key(mutation: object) -> tuple[str, int, tuple[int, int]]:
    return mutation.operator_name, mutation.occurrence, tuple(mutation.start_pos)


if __name__ == "__main__":
    main(*sys.argv[1:])
