"""What the source says of a class is what the imported class says of itself, or nothing."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ssl_patches.config import files
from ssl_patches.config.definitions import Unreadable
from ssl_patches.config.instantiate import locate, signature
from ssl_patches.config.read_source import names_with_default, read_signature


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "_target_" and "." in value)
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from targets(value)


NAMED = sorted(
    {
        target
        for file in files.conf_dir().rglob("*.yaml")
        for target in targets(yaml.safe_load(file.read_text(encoding="utf-8")))
    }
)


def judged(annotation: Any) -> Any:
    """An annotation as ``check`` takes it: a class of ours counts by its name."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return {judged(part) for part in typing.get_args(annotation)}.__repr__()
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__, dataclasses.is_dataclass(annotation)
    return annotation


@pytest.mark.parametrize("path", NAMED)
def test_each_class_in_conf_is_read_as_it_is(path):
    taken = read_signature(path)  # Unreadable here: checking a request would have to load it
    found = locate(path)
    knobs, anything = signature(found)
    assert (taken.name, taken.anything) == (found.__qualname__, anything)
    assert list(taken.knobs) == list(knobs)
    for name, knob in knobs.items():
        assert taken.knobs[name].default == knob.default, name
        assert judged(taken.knobs[name].annotation) == judged(knob.annotation), name
    defaults = [name for name, knob in knobs.items() if knob.default is not knob.empty]
    assert names_with_default(path) == defaults


TOY = """
import dataclasses
import functools
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple
import numpy
from numpy import ndarray

Mode = Literal["a", "b"]
SIZE = (1, 2)
class Kind(Enum): A = 1
class Pair(NamedTuple): a: int
class Plain: ...
class Base:
    def __init__(self, *, mode: Mode = "a", plain: Plain | None = None, **more): ...
class Heir(Base): ...
@dataclass
class First:
    a: int
    b: float = 0.5
@dataclass
class Second(First):
    b: float = SIZE[0] / 4
    c: "str" = ""
def plain(*sizes, size: tuple[int, int] = SIZE, missing: Nowhere = 1): ...
@functools.cache
def decorated(a: int): ...
def computed(a: int = int("3")): ...
def foreign(a: ndarray): ...
def foreign_default(a=numpy.pi): ...
def enumerated(a: Kind): ...
def named(a: Pair): ...
class Made:
    def __new__(cls, a: int): ...
class Assigned:
    __init__ = Base.__init__
class OfTwo(Plain, Base): ...
class Far(ndarray): ...
class Meta(metaclass=type): ...
@dataclass
class Factory:
    a: list = dataclasses.field(default_factory=list)
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("source")
    (folder / "toy_of_sources.py").write_text(f"from __future__ import annotations\n{TOY}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield "toy_of_sources"


@pytest.mark.parametrize("name", ["Base", "Heir", "First", "plain", "Plain"])
def test_bases_fields_aliases_and_names_for_type_checkers_are_read_as_they_are(toy, name):
    test_each_class_in_conf_is_read_as_it_is(f"{toy}.{name}")


@pytest.mark.parametrize(
    "name",
    [
        *("decorated", "computed", "foreign", "foreign_default", "enumerated", "named", "Made"),
        *("Assigned", "OfTwo", "Far", "Meta", "Factory", "Second", "SIZE", "Mode", "Nowhere"),
    ],
)
def test_whatever_the_source_does_not_say_is_left_to_the_import(toy, name):
    with pytest.raises(Unreadable):
        read_signature(f"{toy}.{name}")
