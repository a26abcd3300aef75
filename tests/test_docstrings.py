"""Public functions have docstrings: imperative, with shapes of tensors and the errors they raise.

Public is what does not begin with an underscore and is not inside a function. Each room has its
number of exceptions below. The numbers may only fall; the aim is 0.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from small import REPOSITORY

PACKAGE = REPOSITORY / "ssl_patches"
ALLOWED: dict[str, dict[str, int]] = {
    "no docstring": {},
    "no imperative": {},
    "no shapes": {},
    "undeclared errors": {},
}
"""Kind of fault -> room -> how many there may be; a room that is not listed has none."""

WORDS = (
    "dim|width|height|side|rows|cols|cells|classes|depth|layers|heads|tokens|channels|images|in|out"
)
ONE = rf"(?:\.{{3}}|(?:\d+ ?\*? ?)?(?:[A-Za-z]|{WORDS}|\d+)(?: ?[*+/-] ?\w+)*)"
SHAPE = re.compile(rf"\({ONE}(?:, ?{ONE})*,?\)|\(\)|\b[Ss]calar")
SUBSTITUTES = {"BadRequest": "ValueError"}
"""Exception -> the base that may be declared instead."""

NO_VERBS = {
    *("a", "all", "an", "any", "each", "every", "everything", "it", "its", "many", "no", "none"),
    *("nothing", "one", "only", "some", "that", "the", "these", "they", "this", "two", "true"),
    *("how", "if", "what", "when", "where", "whether", "which", "who", "whose", "why", "is", "are"),
    *("as", "at", "both", "by", "for", "from", "has", "in", "of", "on", "or", "to", "under"),
    *("with", "within", "visible", "function", "method", "class", "module", "number", "tensor"),
}
"""Words that begin a description; most of pydocstyle's D401, which ruff checks too."""
VERBS_IN_S_ED_ING = {"embed", "feed", "seed", "need", "bring", "focus", "bias"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[tuple[str, Function, str]]:
    """(qualified name, function, its docstring) of public functions and methods; an ``__init__``
    is explained by its class."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            about = ast.get_docstring(node) or ""
            for name, function, text in functions(node):
                yield f"{node.name}.{name}", function, text
            for inner in node.body:
                if isinstance(inner, Function) and inner.name == "__init__":
                    yield f"{node.name}.__init__", inner, about
        elif isinstance(node, ast.If):
            yield from functions(node)


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    """Public classes of a module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node


def takes_tensors(function: Function) -> bool:
    """Is a tensor among the annotated parameters, or returned?"""
    arguments = function.args
    notes = [each.annotation for each in (*arguments.args, *arguments.kwonlyargs)]
    return any(
        note and re.search(r"\bTensor\b", ast.unparse(note)) for note in (*notes, function.returns)
    )


def raised(function: Function) -> set[str]:
    """Names of the exceptions that the function itself raises."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = ast.unparse(error).rpartition(".")[2]
            found |= {name} if name[:1].isupper() else set()
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def imperative(about: str) -> bool:
    """Does a docstring begin with an imperative verb, as far as the word itself shows it?"""
    word = (about.split() or [""])[0].strip(".,:;")
    if not word.replace("-", "").isalpha() or not word[0].isupper() or word.lower() in NO_VERBS:
        return False
    third_person = word.endswith("s") and not word.endswith("ss")
    return word.lower() in VERBS_IN_S_ED_ING or not (third_person or word.endswith(("ed", "ing")))


def described(function: Function) -> bool:
    """Is it a property, whose docstring may be a noun, or a constructor, explained by its class?"""
    properties = any("property" in ast.unparse(each) for each in function.decorator_list)
    return properties or function.name == "__init__"


def faults(text: str) -> Iterator[tuple[str, str]]:
    """(kind, qualified name) of every fault in the source of a module."""
    tree = ast.parse(text)
    if (about := ast.get_docstring(tree)) and not imperative(about):
        yield "no imperative", "the module"
    for node in classes(tree):
        if not ast.get_docstring(node):
            yield "no docstring", node.name
    for name, function, about in functions(tree):
        if not about:
            yield "no docstring", name
        elif not described(function) and not imperative(about):
            yield "no imperative", name
        if takes_tensors(function) and not SHAPE.search(about):
            yield "no shapes", name
        for error in raised(function):
            if error not in about and SUBSTITUTES.get(error, error) not in about:
                yield "undeclared errors", f"{name}: {error}"


def found() -> dict[str, dict[str, list[str]]]:
    """Kind of fault -> room -> "file: name" of each."""
    table: dict[str, dict[str, list[str]]] = {kind: {} for kind in ALLOWED}
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE)
        room = path.parts[0].removesuffix(".py")
        for kind, name in faults(file.read_text(encoding="utf-8")):
            table[kind].setdefault(room, []).append(f"{path}: {name}")
    return table


@pytest.mark.parametrize("kind", ALLOWED)
def test_no_room_has_more_than_it_may(kind):
    over = [
        f"{room} may have {ALLOWED[kind].get(room, 0)} with {kind}, and has {len(names)}:\n  "
        + "\n  ".join(names)
        for room, names in found()[kind].items()
        if len(names) > ALLOWED[kind].get(room, 0)
    ]
    assert not over, "\n".join(over)


def test_each_kind_of_fault_is_seen():
    text = '''"""Things that are open."""
class Open:
    def __init__(self, x: int) -> None:
        raise ValueError("x")

def plain(x: Tensor) -> Tensor:
    """Double it."""
    raise Failed("no")

def good(x: Tensor) -> Tensor:
    """Double ``x`` (B, K, dim). ValueError where it is empty."""
    raise BadRequest(["x"])

def told() -> str:
    """Whether it was told."""

def _private(x: Tensor): ...
'''
    assert sorted(faults(text)) == [
        ("no docstring", "Open"),
        ("no docstring", "Open.__init__"),
        ("no imperative", "the module"),
        ("no imperative", "told"),
        ("no shapes", "plain"),
        ("undeclared errors", "Open.__init__: ValueError"),
        ("undeclared errors", "plain: Failed"),
    ]


@pytest.mark.parametrize(
    "shape", ["(B, K, C, h, w)", "(N,)", "(M)", "(..., C, h, w)", "scalar", "(B, 2 * dim)"]
)
def test_shapes_are_recognised(shape):
    assert SHAPE.search(f"Take ``x`` {shape} float.")


@pytest.mark.parametrize(
    "text", ["Return it.", "Guess (B, K).", "Embed.", "Bring back.", "Pass on."]
)
def test_imperatives_are_recognised(text):
    assert imperative(text)


@pytest.mark.parametrize(
    "text",
    [
        "The mean.",
        "Whether it fits.",
        "(B, K) -> (B,)",
        "``x`` as text.",
        "Returns it.",
        "Versions of it.",
        "Called before.",
        "",
    ],
)
def test_descriptions_are_no_imperatives(text):
    assert not imperative(text)


def test_prose_in_brackets_is_no_shape():
    assert not SHAPE.search("Take it (see the paper of 2020), once (or twice) a step.")
