"""The page and map of the package are what their script writes, so they cannot be wrong."""

from __future__ import annotations

import sys

import pytest
from small import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
import architecture_page as page


@pytest.mark.parametrize("file", [page.PAGE, page.MAP], ids=lambda file: file.name)
def test_the_committed_file_is_what_the_script_writes(file):
    written = page.page() if file == page.PAGE else page.svg()
    assert file.read_text(encoding="utf-8") == written, f"{file.name} is out of date: run make map"


def test_every_room_is_explained_and_drawn():
    assert set(page.ROOMS) == {page.room(module) for module in page.modules()}
    assert page.svg().count("<rect") == len(page.ROOMS)


def test_every_file_has_its_line():
    text = page.page()
    for module, file in page.modules().items():
        assert f"| `{file.relative_to(REPOSITORY)}` |" in text, module
        assert len(page.first_sentence(file)) > 10, f"{file}: begin it with a docstring"


def test_the_map_draws_what_is_not_said_by_other_arrows():
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert page.drawn(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert page.floors(graph) == {"c": 1, "b": 2, "a": 3}


def test_a_circle_of_rooms_is_refused():
    with pytest.raises(ValueError, match="a circle of rooms: a -> b -> a"):
        page.floors({"a": {"b"}, "b": {"a"}})
