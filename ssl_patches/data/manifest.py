"""Read images listed in a file: ``data=manifest data.path=FILE``, a list of paths, a CSV or TSV
with a header, or Parquet.

Paths are relative to ``data.root``, or to the folder of the list where none is given. Labels are
text or numbers and are numbered in sorted order (as numbers where all are numbers) over *both*
splits; an empty one means none. A column of splits says train, val (or valid, validation, test);
without it rows are held out by the hash of their path, with the percentages of ``layout.py``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ssl_patches.config.messages import nearest
from ssl_patches.data.arrays import check_range
from ssl_patches.data.files import FileSource, ListedFile, Reading, read_skip
from ssl_patches.data.layout import HELD_OUT, place
from ssl_patches.data.source import Request

SIDES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
IMAGE_COLUMNS = ("image", "path", "file", "filename", "image_path", "file_name")
Columns = dict[str, list[str]]


class ManifestSource(FileSource):
    """The images that a list names, one a row; ValueError where it cannot be read as told.

    ``path``: the list. ``image_column``: None takes the first of ``IMAGE_COLUMNS`` that there is,
    or the only column. ``label_column``, ``split_column``: None = there are none. ``root``: what
    paths are relative to; None: the folder of the list. A split column with both ``val`` and
    ``test`` evaluates on ``val``. The rest as for ``FolderSource``.
    """

    def __init__(
        self,
        *,
        path: str,
        split: Literal["train", "val"],
        image_size: int,
        image_column: str | None = None,
        label_column: str | None = None,
        split_column: str | None = None,
        root: str | None = None,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        load_size: int | None = None,
        skip: str | None = None,
        max_corrupt: float = 0.01,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        reading, where = Reading(channels, check_range(value_range)), f"data.path={path}"
        columns = read_columns(path)
        images = columns[_image_column(image_column, columns, path)]
        labels = _column("label_column", label_column, columns, path)
        classes = class_order(labels or [])
        number = {name: at for at, name in enumerate(classes)}
        sides, rule = _sides(
            images, _column("split_column", split_column, columns, path), bool(classes), where
        )
        skipped = read_skip(skip, images, where=where)
        rows = [at for at, side in enumerate(sides) if side == split and images[at] not in skipped]
        if not rows:
            raise ValueError(
                f"{where}: must list images for {split}, but has {len(images)} rows ({rule}); list"
                " some"
            )
        base = (
            os.path.expanduser(root)
            if root
            else os.path.dirname(os.path.abspath(os.path.expanduser(path)))
        )
        super().__init__(
            [
                ListedFile(
                    name=images[at],
                    path=os.path.join(base, images[at]),
                    label=number.get(labels[at], -1) if labels else -1,
                )
                for at in rows
            ],
            where=where,
            root=base,
            request=request,
            reading=reading,
            classes=classes,
            split_rule=f"{len(classes)} classes; {rule}" if classes else f"unlabelled; {rule}",
            max_corrupt=max_corrupt,
        )


def read_columns(path: str) -> Columns:
    """Return name -> values as text, of a list (one column, ``image``), CSV, TSV or Parquet.

    ValueError when it cannot be read.
    """
    file = Path(path).expanduser()
    try:
        if file.suffix.lower() == ".parquet":
            return _parquet(file)
        with file.open(
            newline="", encoding="utf-8-sig"
        ) as opened:  # spreadsheets write a byte order mark
            if file.suffix.lower() not in (".csv", ".tsv"):
                return {"image": [line for line in map(str.strip, opened) if line]}
            rows = list(
                csv.DictReader(opened, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"data.path={path}: cannot be read ({error}); name a .txt, .csv, .tsv or .parquet file"
        ) from None
    if not rows:
        raise ValueError(f"data.path={path}: has no rows below its header; list images, one a row")
    ragged = next((at for at, row in enumerate(rows) if None in row or None in row.values()), None)
    if ragged is not None:
        raise ValueError(
            f"data.path={path}: row {ragged + 2} has another number of cells than the header; quote"
            " commas in names"
        )
    return {name: [row[name].strip() for row in rows] for name in rows[0]}


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
    return {
        name: ["" if cell is None else str(cell) for cell in table[name].to_pylist()]
        for name in table.column_names
    }


def _column(key: str, name: str | None, columns: Columns, path: str) -> list[str] | None:
    if name is None:
        return None
    if name not in columns:
        raise ValueError(
            f"data.{key}={name}: {path} has no such column;"
            f" {nearest(name, list(columns), prefix=f'data.{key}=')}"
        )
    return columns[name]


def _image_column(name: str | None, columns: Columns, path: str) -> str:
    if name is not None:
        _column("image_column", name, columns, path)
        return name
    found = next(
        (other for other in IMAGE_COLUMNS if other in columns),
        next(iter(columns)) if len(columns) == 1 else None,
    )
    if found is None:
        raise ValueError(
            f"data.image_column: which column of {path} names the images? set it to one of"
            f" {', '.join(columns)}"
        )
    return found


def class_order(labels: Sequence[str]) -> list[str]:
    """Sort the classes: as numbers where all are whole numbers ("10" after "9").

    An empty label is no class.
    """
    names = set(labels) - {""}
    return (
        sorted(names, key=int)
        if all(name.lstrip("-").isdigit() for name in names)
        else sorted(names)
    )


def _sides(
    images: list[str], splits: list[str] | None, labelled: bool, where: str
) -> tuple[list[str], str]:
    """Return "train", "val" or something else for each row, and the rule in words."""
    if splits is None:
        percent = HELD_OUT[labelled]
        held = [place(image) < percent for image in images]
        if len(images) > 1 and sum(held) in (0, len(held)):
            least = min(range(len(images)), key=lambda at: place(images[at]))
            held[least] = not held[least]
        rule = f"held out where int(sha256(path).hexdigest()[:8], 16) % 100 < {percent}"
        return ["val" if side else "train" for side in held], rule
    unknown = sorted({name for name in splits if name.lower() not in SIDES})
    if unknown:
        raise ValueError(
            f"{where}: the split column says '{unknown[0]}', must say {', '.join(SIDES)}; rename it"
            " there"
        )
    sides = [SIDES[name.lower()] for name in splits]
    if "val" not in sides:
        sides = ["val" if side == "test" else side for side in sides]
    return sides, "split by its column"
