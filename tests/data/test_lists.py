"""A list is read as it was written: no row and no field is lost."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from ssl_patches.data.lists import read_columns, with_slashes


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
        (b"0.png,a\n1.png,b\n", "its first line names the image 0.png where .* path,label"),
        (b"0.png\n1.png\n", "its first line names the image 0.png"),
    ],
)
def test_what_would_be_lost_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_columns(str(tmp_path / "list.csv"))


def test_backslashes_turn_only_where_that_finds_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.png", "b\\2.png"):
        (tmp_path / name).touch()
    assert with_slashes(["a\\1.png", "b\\2.png", "c\\3.png"], str(tmp_path)) == (
        ["a/1.png", "b\\2.png", "c\\3.png"],
        1,
    )


def test_columns_of_lists_and_records_are_no_fields(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"file": ["a.png"], "boxes": [[1, 2]], "about": [{"x": 1}], "kind": [3.0]})
    parquet.write_table(table, tmp_path / "list.parquet")
    assert read_columns(str(tmp_path / "list.parquet")) == {"file": ["a.png"], "kind": ["3"]}
