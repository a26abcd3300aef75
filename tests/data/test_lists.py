"""A list is read as it was written: no row and no field is lost."""

from __future__ import annotations

import csv
import io
import math
import random
from pathlib import Path

import pytest

from ssl_patches.data.lists import numbers_in, read_columns, with_slashes


@pytest.mark.parametrize("seed", range(12))
def test_any_separator_gives_the_same_columns(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        {"file": f"{draw.choice(['a b', 'a,b', 'a;b', 'ü'])}/{at}.png", "kind": str(at % 3)}
        for at in range(9)
    ]
    found = []
    for separator in ",;\t|":
        text = io.StringIO()
        writer = csv.DictWriter(text, ["file", "kind"], delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
        (tmp_path / "list.csv").write_text(
            draw.choice(["", "\ufeff"]) + text.getvalue(), encoding="utf-8"
        )
        found.append(read_columns(str(tmp_path / "list.csv")))
    assert all(columns == found[0] for columns in found)
    assert found[0] == {key: [row[key] for row in rows] for key in ("file", "kind")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,kind,kind\na,b,c\n", "names the column 'kind' twice"),
        (b"file;kind\na;b;c\n", "separates by semicolons"),
        (b"file,kind\n\xe4.png,b\n", "is no UTF-8 text"),
    ],
)
def test_what_would_be_lost_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_columns(str(tmp_path / "list.csv"))


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        (["1", "20", "3"], [1, 20, 3]),
        (["0.5", "1e3", "-2"], [0.5, 1000, -2]),
        (["0,5", "1,25", "7"], [0.5, 1.25, 7]),
        (["0.5", "", "1"], [0.5, math.nan, 1]),
        (["1,5", "2.5"], None),
        (["1", "cat"], None),
        (["nan", "1"], None),
        (["", ""], None),
    ],
)
def test_numbers_are_told_from_text(fields: list[str], numbers: list[float] | None) -> None:
    assert repr(numbers_in(fields)) == repr(numbers and [float(number) for number in numbers])


def test_backslashes_turn_only_where_that_finds_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "b\\2.png"):
        (tmp_path / name).touch()
    assert with_slashes(["a\\1.png", "b\\2.png", "c\\3.png"], str(tmp_path)) == (
        ["a/1.png", "b\\2.png", "c\\3.png"],
        1,
    )
