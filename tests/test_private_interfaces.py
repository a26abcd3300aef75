"""What other libraries keep to themselves is used in the files below and nowhere else.

Private is a name with one leading underscore that this package does not define itself. Each file
says why there is no public way, and its test breaks where the library renames what it needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from small import REPOSITORY

PACKAGE = REPOSITORY / "ssl_patches"
ALLOWED = {
    "config/hydra_paths.py": set(),  # public by name, promised by nobody
    "data/datasets_private.py": {"_fingerprint"},
    "training/lightning_private.py": {"_broadcast_sigterm_tensor"},
    "training/attention_flops.py": {
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention_for_cpu_backward",
    },
    "training/live_tensors.py": {"torch.utils._python_dispatch"},
    "training/onednn.py": {"_linear_pointwise"},
}
"""File -> the private names in it. CONTRIBUTING.md has the same files."""
PUBLIC = {"_exit", "_replace", "_asdict", "_fields", "_make"}
"""Names of the standard library that are documented in spite of their underscore: ``os._exit``, and
methods of named tuples."""


def is_private(name: str) -> bool:
    """Does the name begin with one underscore?"""
    return name.startswith("_") and not name.startswith("__") and name not in {"_", *PUBLIC}


def own_names(tree: ast.AST) -> Iterator[str]:
    """Names that a module defines: functions, classes, arguments, variables, attributes of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) == "self" else []


def foreign_names(
    tree: ast.AST, own: set[str], everywhere: frozenset[str] = frozenset()
) -> Iterator[tuple[int, str]]:
    """(line, private name of others) of every import, attribute and literal ``getattr``.

    ``own``: names that the module defines; ``everywhere``: those of the package, of which ``self``
    may have inherited some.
    """
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("ssl_patches"):
            if any(is_private(part) for part in (node.module or "").split(".")):
                found = [node.module or ""]
            else:
                found = [f"{node.module}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            inherited = ast.unparse(node.value) in {"self", "super()"} and node.attr in everywhere
            found = [] if inherited else [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "getattr",
            "setattr",
            "hasattr",
        }:
            found = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant)]
        for name in found:
            if any(is_private(part) for part in str(name).split(".")):
                yield node.lineno, str(name)


def sources() -> dict[str, ast.AST]:
    """Path in the package -> its syntax tree."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {
        file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text("utf-8")) for file in files
    }


def test_private_names_of_others_stand_alone():
    trees = sources()
    everywhere = frozenset(name for tree in trees.values() for name in own_names(tree))
    over = [
        f"ssl_patches/{path}:{line}: {name} is private to another library; find a public way, or"
        " give it a file of its own with the reason, a pin and a test (CONTRIBUTING.md)"
        for path, tree in trees.items()
        for line, name in foreign_names(tree, set(own_names(tree)), everywhere)
        if name not in ALLOWED.get(path, set())
    ]
    assert not over, "\n".join(over)


def test_every_file_that_may_is_needed_explained_and_tested():
    trees, page = sources(), (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    for path, names in ALLOWED.items():
        found = {name for _, name in foreign_names(trees[path], set(own_names(trees[path])))}
        assert found == names, path
        room, _, file = path.rpartition("/")
        test = f"tests/{room}/test_{file}"
        assert "def test_breaks_when_" in (REPOSITORY / test).read_text("utf-8"), test
        assert f"ssl_patches/{path}" in page, f"CONTRIBUTING.md does not name {path}"


@pytest.mark.parametrize(
    "line",
    [
        "from timm.models._efficientnet_blocks import SqueezeExcite",
        "import torch._dynamo",
        "from torch import _foreach_lerp_",
        "trainer.fit_loop._data_source",
        "getattr(module, '_modules')",
    ],
)
def test_the_search_finds_every_way_to_a_private_name(line: str):
    assert list(foreign_names(ast.parse(line), {"_own"}))


def test_the_search_leaves_names_of_our_own_and_documented_ones_alone():
    text = (
        "self._own\nos._exit(1)\nitem.__class__\nbatch._replace(x=1)\nfrom ssl_patches.a import _b"
    )
    assert not list(foreign_names(ast.parse(text), {"_own"}, frozenset({"_base"})))
    assert list(foreign_names(ast.parse("self._of_lightning"), {"_own"}, frozenset({"_base"})))
