"""Write docs/architecture.md and its map of the package from the imports in the source.

``python docs/architecture_page.py`` rewrites both files. A room is an entry of ``ssl_patches/``;
its floor is one above the highest room that it imports from. Files are read with ``ast``, imports
inside functions too; nothing is imported. tests/docs/test_architecture_page.py fails when the
committed files are not what this script writes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "ssl_patches"
PAGE, MAP = DOCS / "architecture.md", DOCS / "figures" / "architecture.svg"

ROOMS = {
    "types": "the records that pass from step to step",
    "config": "typed words -> checked settings; run directories, locks, atomic writes",
    "data": "files -> batches of images",
    "views": "images -> views: crop, resize, colour",
    "encoders": "tiles -> features; loading pretrained and exported encoders",
    "sampler": "views -> tiles",
    "tasks": "tiles + encoder -> loss: one file, one paper",
    "evaluation": "frozen encoder + images -> metrics with intervals",
    "export": "encoder -> files, proven equal",
    "training": "losses -> weights: module, optimizer, callbacks, processes",
    "testing": "contracts for your own task or encoder",
    "studies": "many runs -> a comparison",
    "__init__": "the commands as Python functions",
    "cli": "the command line: flags, help, completion",
    "__main__": "`python -m ssl_patches`",
}
"""Room -> what goes in and what comes out."""

WIDTH, BOX, GAP, HEIGHT, RISE = 900, 176, 24, 46, 96  # pixels of the map


@cache
def modules() -> dict[str, Path]:
    """List the modules of the package: dotted name -> file; a folder is its ``__init__``."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports() -> list[tuple[str, str, str]]:
    """List the imports of the package's own modules, those inside functions too.

    Each is (importing module, imported module, "file:line: statement"). ValueError for a relative
    import, which this reader does not follow.
    """
    found = []
    for name, file in modules().items():
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                if node.level:
                    raise ValueError(f"{file}:{node.lineno}: write the import in full")
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for target in targets:
                while target and target not in modules():
                    target = target.rpartition(".")[0]
                if target and target != name:
                    line = (ast.get_source_segment(text, node) or "").splitlines()[0]
                    where = f"{file.relative_to(PACKAGE.parent)}:{node.lineno}: {line}"
                    found.append((name, target, where))
    return found


def room(module: str) -> str:
    """Return the entry of ``ssl_patches/`` that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def arrows() -> dict[str, set[str]]:
    """Map each room to the rooms that it imports from."""
    found: dict[str, set[str]] = {room(module): set() for module in modules()}
    for module, target, _ in imports():
        if room(module) != room(target):
            found[room(module)].add(room(target))
    return found


def floors(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """Map each room to its floor: 1 where it imports no other room, else one above the highest of
    those that it imports from. ValueError for a circle of rooms."""
    found: dict[str, int] = {}

    def floor(name: str, above: tuple[str, ...]) -> int:
        if name in above:
            raise ValueError(f"a circle of rooms: {' -> '.join([*above, name])}")
        if name not in found:
            below = [floor(other, (*above, name)) for other in sorted(graph[name])]
            found[name] = 1 + max(below, default=0)
        return found[name]

    for name in sorted(graph):
        floor(name, ())
    return found


def drawn(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leave out the arrows that follow from others: a room imports what lies below its neighbours
    as well, and drawing all of it hides the plan."""

    def below(name: str) -> set[str]:
        return set(graph[name]).union(*map(below, graph[name]))

    return {name: others - set().union(*map(below, others)) for name, others in graph.items()}


def svg() -> str:
    """Draw the rooms on their floors, the lowest at the bottom, with arrows to what they import."""
    standing = floors(arrows())
    rows = [
        [name for name in ROOMS if standing.get(name) == floor]
        for floor in range(max(standing.values()), 0, -1)
    ]
    place = {}
    for down, row in enumerate(rows):
        wide = len(row) * BOX + (len(row) - 1) * GAP
        for along, name in enumerate(row):
            place[name] = (60 + (WIDTH - 60 - wide) // 2 + along * (BOX + GAP), 16 + down * RISE)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(rows) * RISE}"'
        ' font-family="sans-serif" font-size="15" role="img">',
        "<title>Rooms of ssl_patches by floor, each with arrows to what it imports</title>",
        "<style>",
        "text { fill: #24292f; } rect { fill: #ddf4ff; stroke: #8c959f; }",
        ".arrow { fill: none; stroke: #8c959f; stroke-width: 1.5; } .tip { fill: #8c959f; }",
        "@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } rect { fill: #16324f; } }",
        "</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"'
        ' markerHeight="8" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for name, others in sorted(drawn(arrows()).items()):
        for other in sorted(others):
            (x, y), (to_x, to_y) = place[name], place[other]
            start, end = (x + BOX // 2, y + HEIGHT), (to_x + BOX // 2, to_y - 2)
            bend = (end[1] - start[1]) // 2
            lines.append(
                f'<path class="arrow" d="M{start[0]} {start[1]}C{start[0]} {start[1] + bend}'
                f' {end[0]} {end[1] - bend} {end[0]} {end[1]}" marker-end="url(#tip)"/>'
            )
    for down in range(len(rows)):
        lines.append(f'<text x="10" y="{16 + down * RISE + 28}">{len(rows) - down}</text>')
    for name, (x, y) in place.items():
        label = name if name.startswith("_") or name == "types" else f"{name}/"
        lines.append(f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6"/>')
        lines.append(
            f'<text x="{x + BOX // 2}" y="{y + 28}" text-anchor="middle">{escape(label)}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def first_sentence(file: Path) -> str:
    """Return the first sentence of the docstring of a file, on one line, as Markdown."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.?!])\s", paragraph)[0]
    return sentence.replace("``", "`").replace("|", r"\|")


def _rooms_table() -> list[str]:
    standing = floors(arrows())
    lines = ["| floor | room | what it does | imports from |", "| --- | --- | --- | --- |"]
    for name, about in ROOMS.items():
        below = ", ".join(f"`{other}`" for other in ROOMS if other in arrows()[name]) or "nothing"
        lines.append(f"| {standing[name]} | `{name}` | {about} | {below} |")
    return lines


def _files_table(name: str) -> list[str]:
    lines = ["| file | what it does |", "| --- | --- |"]
    for module, file in sorted(modules().items(), key=lambda pair: str(pair[1])):
        if room(module) == name:
            lines.append(f"| `{file.relative_to(PACKAGE.parent)}` | {first_sentence(file)} |")
    return lines


HEAD = """\
# Architecture

<!-- written by docs/architecture_page.py; run `make map` after adding a file or an import -->

A folder of `ssl_patches/` is a step on the way from files to results. We call it a *room*, and
rooms stand on *floors*: a file imports from lower floors or from its own room, imports inside
functions included, and no files import each other in a circle. `tests/test_layers.py` checks this.

The step of a training run goes `data -> views -> sampler -> task(encoder) -> loss`; `training`
brings these together, and everything that users type arrives through `cli` and `config`.

![Rooms by floor](figures/architecture.svg)

The map leaves out the arrows that follow from others; the table has all of them.
"""


def page() -> str:
    """Write the page as Markdown: the map, the rooms, and one line per file."""
    parts = [HEAD, "## Rooms\n", *_rooms_table(), ""]
    parts += ["## Files\n", "The test of a file `a/b.py` of the package is `tests/a/test_b.py`.\n"]
    for name in ROOMS:
        parts += [f"### {name}\n", *_files_table(name), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    MAP.write_text(svg(), encoding="utf-8")
    print(f"{PAGE}\n{MAP}")
