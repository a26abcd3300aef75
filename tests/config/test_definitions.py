"""Where a name is defined is read from sources, and never guessed."""

from __future__ import annotations

import ast
import contextlib
import sys

import pytest

from ssl_patches.config.definitions import Unreadable, located, where

TOY = {
    "__init__": "from .things import Thing as Renamed\nfrom . import things as module\n",
    "things": """
import typing
from typing import TYPE_CHECKING
import torch
from torch import nn
if TYPE_CHECKING:
    from decimal import Decimal
try:
    import fast
except ImportError:
    fast = None
class Thing: ...
Other = Thing
Twice = 1
Twice = 2
Here, There = 1, 2
Round = Trip
Trip = Round
""",
}


@pytest.fixture
def toy(tmp_path, monkeypatch, request) -> str:
    """A package of its own name in each test: what was read is kept."""
    name = "toy_" + request.node.name.partition("[")[0] + str(abs(hash(request.node.name)))
    (tmp_path / name).mkdir()
    for file, text in TOY.items():
        (tmp_path / name / f"{file}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize("path", ["Renamed", "things.Thing", "things.Other", "module.Thing"])
def test_imports_and_other_names_lead_to_the_definition(toy, path):
    if path == "module.Thing":
        found = where(toy, ast.parse(path, mode="eval").body)
    else:
        found = located(f"{toy}.{path}")
    assert isinstance(found.node, ast.ClassDef)
    assert found.path == f"{toy}.things.Thing"
    assert toy not in sys.modules  # nothing was imported


@pytest.mark.parametrize("name", ["Decimal", "fast", "Twice", "Here", "Round", "nowhere"])
def test_what_may_be_several_things_or_none_is_unreadable(toy, name):
    with pytest.raises(Unreadable):
        located(f"{toy}.things.{name}")


@pytest.mark.parametrize(
    ("text", "path"),
    [("nn.Module", "torch.nn.Module"), ("typing.Any", "typing.Any"), ("int", "builtins.int")],
)
def test_what_libraries_define_is_named(toy, text, path):
    found = where(f"{toy}.things", ast.parse(text, mode="eval").body)
    assert (found.node, found.path) == (None, path)


@pytest.mark.parametrize("path", ["", "x", "no_such_package.Thing"])
def test_where_there_is_no_source_nothing_is_found(path):
    assert located(path).node is None


@pytest.mark.parametrize("path", ["ssl_patches.", "ssl_patches.nowhere", "ssl_patches.config.no.X"])
def test_what_is_not_in_a_source_of_ours_is_unreadable_or_not_found(path):
    with contextlib.suppress(Unreadable):
        assert located(path).node is None
