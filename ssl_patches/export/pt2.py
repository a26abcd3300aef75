"""Refuse a ``.pt2`` archive that could run code when it is opened or called.

``torch.export.load`` trusts its file: tensors and example inputs may be pickles, compiled parts are
loaded as libraries, sizes are formulas that sympy evaluates, and a node may name any function below
``torch``. What ``ssl-patches export`` writes needs none of these, so everything else is refused by
looking at the archive, before torch opens it.

Trap: two readers of one zip may see different files (two of a name, something before or after
it), so an archive that could be read in two ways is refused.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ssl_patches.config.outside import check_regular, parse_json
from ssl_patches.encoders.exported import ExportMismatch

KNOWN = re.compile(
    r"data/(weights|constants)/\w+(\.json)?|data/sample_inputs/model\.pt|models/model\.json"
    r"|extra/ssl_patches\.json|archive_format|archive_version|byteorder|version|\.data/\w+"
)
"""Names of the files in an archive of ours."""
OPERATION = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|_print\b|warn\b)\w+\.\w+|torch\.sym_(float|int|max|min|not|sum)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|math\.(ceil|floor|trunc)"
)
"""What a node may compute: mathematics (``aten.from_file`` makes files)."""
FORMULA = {
    *("Add", "Mul", "Pow", "Mod", "PythonMod", "Max", "Min", "Abs", "floor", "ceiling", "Integer"),
    *("Rational", "Float", "Symbol", "FloorDiv", "CeilDiv", "CleanDiv", "FloatTrueDiv", "ToFloat"),
    *("IntTrueDiv", "TruncToInt", "TruncToFloat", "FloorToInt", "CeilToInt", "Identity", "Where"),
    *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "And", "Or", "Not"),
    *("StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "ExprCondPair", "true"),
    *("Piecewise", "false", "Zero", "One", "NegativeOne", "Half"),
}
"""Functions of sympy that sizes are written with."""
ARITHMETIC = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Load, ast.Tuple, ast.Compare, ast.cmpop),
    *(ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop),
)


def check_archive(path: Path) -> None:
    """Raise ExportMismatch unless ``path`` holds a graph and tensors, and no code.

    Every ValueError on the way becomes one.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.partition("/")[2] for member in members]
            content = dict(zip(names, map(archive.read, members), strict=True))
            begins = min(member.header_offset for member in members)
            if len(content) < len(members) or begins or archive.comment:
                raise ValueError("another reader may find other files in it")
        for name in names:
            if not KNOWN.fullmatch(name):
                raise ValueError(f"holds {name!r}")
        parsed = {
            name: parse_json(content[name].decode("utf-8"))
            for name in names
            if name.endswith(".json") and not name.startswith("extra/")
        }
        for name, tree in parsed.items():
            _check_payload(tree) if name.startswith("data/") else _check_graph(tree)
        if "data/sample_inputs/model.pt" in names:
            inputs = content["data/sample_inputs/model.pt"]
            torch.load(io.BytesIO(inputs), map_location="cpu", weights_only=True)
    except (
        *(OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, AttributeError),
        *(zipfile.BadZipFile, pickle.UnpicklingError, RecursionError),
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ExportMismatch(
            f"{path}: is no graph that ssl-patches wrote ({reason}), and is not opened; export"
            " again"
        ) from None


def _check_payload(content: Any) -> None:
    """Refuse tensors that are pickles, and other objects."""
    for name, each in content["config"].items():
        if each["use_pickle"] is not False or not re.fullmatch(r"\w+", each["path_name"]):
            raise ValueError(f"{name} is stored as a pickle")
        if each["path_name"].startswith(("custom_obj", "opaque")):
            raise ValueError(f"{name} is no tensor")


def _check_graph(content: Any) -> None:
    """Refuse operations and formulas that are no mathematics."""
    for node in _mappings(content):
        target, formula = node.get("target"), node.get("expr_str")
        if "inputs" in node and target is not None and not OPERATION.fullmatch(target):
            raise ValueError(f"computes {target}")
        if formula is not None:
            _check_formula(formula)


def _mappings(content: Any) -> Iterator[Mapping[str, Any]]:
    """All dicts in a tree of JSON."""
    left = [content]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            yield each
            left += each.values()
        elif isinstance(each, list):
            left += each


def _check_formula(text: str) -> None:
    """Refuse a formula with anything but numbers, symbols and known functions in it."""
    if len(text) > 10_000:
        raise ValueError("holds a formula without end")
    for node in ast.walk(ast.parse(text, mode="eval")):
        fits = (
            isinstance(node, ARITHMETIC)
            or (isinstance(node, ast.Name) and (node.id in FORMULA or _is_symbol(node.id)))
            or (isinstance(node, ast.Constant) and _is_plain(node.value))
        )
        if not fits:
            raise ValueError(f"holds the formula {json.dumps(text[:60])}")


def _is_symbol(name: str) -> bool:
    return re.fullmatch(r"[a-z]{1,4}\d{1,6}", name) is not None


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and _is_symbol(value))
