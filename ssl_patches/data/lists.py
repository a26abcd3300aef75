"""Read lists of images: a path a line, CSV and TSV with a header, or Parquet, as columns of text.

The separator of a CSV is the one that its header uses: comma, semicolon, tab or bar. Nothing is
lost in reading: rows with too few or too many fields, two columns of one name, and a table without
a header are refused.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_patches.config.outside import check_regular
from ssl_patches.data.suffixes import SUFFIXES

SEPARATORS = ",;\t|"
Columns = dict[str, list[str]]


def read_columns(path: str) -> Columns:
    """Return name -> values as text, of a list (one column, ``image``), CSV, TSV or Parquet.

    ValueError when it cannot be read.
    """
    file = Path(path).expanduser()
    kind = file.suffix.lower()
    try:
        check_regular(file)
        if kind == ".parquet":
            return _parquet(file)
        with file.open(
            newline="", encoding="utf-8-sig"
        ) as opened:  # spreadsheets write a byte order mark
            if kind not in (".csv", ".tsv"):
                return {"image": [line for line in map(str.strip, opened) if line]}
            separator = _separator(opened.readline(), "\t" if kind == ".tsv" else ",")
            opened.seek(0)
            header, *rows = [row for row in csv.reader(opened, delimiter=separator) if row] or [[]]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"data.path={path}: is no UTF-8 text ({error.reason} at byte {error.start}); save it"
            " as UTF-8"
        ) from None
    except (OSError, csv.Error) as error:
        raise ValueError(
            f"data.path={path}: cannot be read ({error}); name a .txt, .csv, .tsv or .parquet file"
        ) from None
    return _columns(path, [name.strip() for name in header], rows, separator)


def _separator(header: str, usual: str) -> str:
    """Return what separates the fields of a header line: what stands most often in it."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=lambda each: (bare.count(each), each == usual))


def _columns(
    path: str, header: Sequence[str], rows: Sequence[Sequence[str]], separator: str
) -> Columns:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ValueError(
            f"data.path={path}: its header names the column '{twice[0]}' twice; rename one"
        )
    images = [name for name in header if name.lower().endswith(SUFFIXES)]
    if images:
        raise ValueError(
            f"data.path={path}: its first line names the image {images[0]} where the names of"
            " columns are due; write such a line above it, path,label for example"
        )
    if not rows:
        raise ValueError(f"data.path={path}: has no rows below its header; list images, one a row")
    ragged = next((at for at, row in enumerate(rows) if len(row) != len(header)), None)
    if ragged is not None:
        name = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[separator]
        raise ValueError(
            f"data.path={path}: row {ragged + 2} has another number of fields than the header,"
            f" which separates by {name}; quote {name} in names"
        )
    return {name: [row[at].strip() for row in rows] for at, name in enumerate(header)}


def _parquet(file: Path) -> Columns:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise ValueError(
            f"data.path={file}: Parquet is read by pyarrow; install it: pip install"
            " 'ssl-patches[parquet]', or give a CSV"
        ) from None
    try:
        table = read_table(file)
    except (ArrowException, OSError) as error:
        raise ValueError(
            f"data.path={file}: cannot be read as Parquet ({error}); write it again"
        ) from None
    from pyarrow.types import is_nested

    return {
        field.name: list(map(_text, table[field.name].to_pylist()))
        for field in table.schema
        if not is_nested(field.type)  # lists and records are neither a path nor a label
    }


def _text(field: Any) -> str:
    """Write a field as a CSV would; a whole float comes from integers with gaps."""
    if field is None or (isinstance(field, float) and math.isnan(field)):
        return ""
    if isinstance(field, float) and field.is_integer() and abs(field) < 2**53:
        return str(int(field))
    return str(field)


def with_slashes(names: Sequence[str], base: str) -> tuple[list[str], int]:
    """Turn the backslashes of Windows into slashes where the file is then there.

    Returns the names, and how many were changed. ``base``: the folder that they are relative to.
    """
    if os.sep == "\\":
        return list(names), 0
    found, changed = [], 0
    for name in names:
        other = name.replace("\\", "/")
        if other != name and not os.path.exists(os.path.join(base, name)):
            there = os.path.exists(os.path.join(base, other))
            name, changed = (other, changed + 1) if there else (name, changed)
        found.append(name)
    return found, changed
