"""Read images listed in a file: ``data=manifest data.path=FILE``, a list of paths, a CSV or TSV
with a header, or Parquet.

Paths are relative to ``data.root``, or to the folder of the list where none is given. An empty
label means none. Text, and numbers that are all whole, are classes, in sorted order (as numbers
where all are numbers) over *both* splits; numbers with fractions stay the numbers that they are,
and so do whole ones with ``labels=value`` (``labels.py``). A column of splits says train, val, test
or another name that ``splits.py`` knows; without it rows are held out by the hash of their path,
with the percentages of ``layout.py``.

An image counts once, however often and in whatever spelling it is listed, links included. Rows that
say the same of it are told; rows that contradict each other (two labels, or both trained on and put
aside) are counted and refused above ``max_conflicts``. Below that nothing is decided by order: such
an image has no label, or is held out only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.messages import nearest
from ssl_patches.config.plain_text import printable
from ssl_patches.data.arrays import check_value_range
from ssl_patches.data.files import FileSource, Reading, read_skip
from ssl_patches.data.formats import library_missing_for, unreadable_suffixes
from ssl_patches.data.index.lists import listed_table
from ssl_patches.data.labels import read_labels
from ssl_patches.data.layout import HELD_OUT
from ssl_patches.data.left_out import Aside
from ssl_patches.data.lists import Columns, read_columns, with_slashes
from ssl_patches.data.placed import place
from ssl_patches.data.source import Request
from ssl_patches.data.splits import SIDES, Side, held_of, side_of

MANY = 2000  # files that are asked for one after the other
IMAGE_COLUMNS = ("image", "path", "file", "filename", "image_path", "file_name")


@dataclass
class _Listed:
    """All that the rows of one image say. ``name``: as it is listed first."""

    name: str
    rows: int = 0
    labels: set[str] = field(default_factory=set)
    sides: set[Side] = field(default_factory=set)

    @property
    def contradicts(self) -> bool:
        """Whether its rows give it two labels, or train on it and put it aside."""
        return len(self.labels) > 1 or self.leaks

    @property
    def leaks(self) -> bool:
        """Whether it is both trained on and put aside."""
        return "train" in self.sides and len(self.sides) > 1

    def side(self, held: Side | None) -> str | None:
        """Return train or val, where ``held`` is what is evaluated on; None: neither."""
        if self.leaks or "train" not in self.sides:
            return "val" if held in self.sides else None
        return "train"


class ManifestSource(FileSource):
    """The images that a list names; ValueError where it cannot be read as told.

    ``path``: the list. ``image_column``: None takes the first of ``IMAGE_COLUMNS`` that there is,
    or the only column. ``label_column``, ``split_column``: None = there are none. ``root``: what
    paths are relative to; None: the folder of the list. A split column with both ``val`` and
    ``test`` evaluates on ``val``. ``max_conflicts``: how many images may contradict themselves.
    Why: such a list has a mistake in it. ``label_kind``: class, or value for numbers; None: as the
    labels look. The rest as for ``FolderSource``.
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
        max_conflicts: int = 0,
        label_kind: Literal["class", "value"] | None = None,
    ) -> None:
        request = Request(
            split=split, image_size=image_size, channels=channels, load_size=load_size
        )
        reading, where = Reading(channels, check_value_range(value_range)), f"data.path={path}"
        base = (
            os.path.expanduser(root)
            if root
            else os.path.dirname(os.path.abspath(os.path.expanduser(path)))
        )
        columns = read_columns(path)
        names = columns[_image_column(image_column, columns, path)]
        labels = _column("label_column", label_column, columns, path)
        splits = _column("split_column", split_column, columns, path)
        names, turned = with_slashes(names, base)
        listed = _listed(names, labels, _sides(splits, where), base, where)
        remarks = [f"{turned:,} paths are written with backslashes"] if turned else []
        remarks += _remarks(listed, max_conflicts, where)
        fields = [only for each in listed for only in each.labels]
        read = read_labels(fields, label_kind, where)
        classes, numbers = read.classes, read.numbers
        remarks += read.remarks
        held, rule = _divide(listed, splits is not None, bool(fields))
        skipped = read_skip(skip, [each.name for each in listed], where=where)
        chosen = [each for each in listed if each.side(held) == split and each.name not in skipped]
        chosen, without = _read_here(chosen)
        if not chosen:
            why = "; ".join([rule, *without])
            raise ValueError(
                f"{where}: must list images for {split}, but has {len(names)} rows ({why}); list"
                " some"
            )
        remarks += without
        unused = sum(each.side(held) is None for each in listed)
        if unused:
            remarks.append(
                f"{unused:,} images of test are not used, as there are some of val to evaluate on"
            )
        remarks += _untaught(listed, held) if classes else []
        none = -1 if classes or not fields else math.nan
        numbered = [
            numbers.get(next(iter(each.labels)), none) if len(each.labels) == 1 else none
            for each in chosen
        ]
        super().__init__(
            listed_table(
                [each.name for each in chosen],
                base,
                channels=channels,
                kept_as=f"{split} {os.path.abspath(os.path.expanduser(path))}",
            ),
            np.arange(len(chosen)),
            _as_array(numbered),
            where=where,
            request=request,
            reading=reading,
            classes=classes,
            split_rule=f"{_kind(classes, fields)}; {rule}",
            max_corrupt=max_corrupt,
            of_all=len(listed),
            remarks=remarks,
        )


def _read_here(listed: Sequence[_Listed]) -> tuple[list[_Listed], list[str]]:
    """Return the images whose format can be read, and what is said of the others."""
    without, left = unreadable_suffixes(), Aside()
    needed = [library_missing_for(each.name, without) for each in listed]
    for each, why in zip(listed, needed, strict=True):
        if why:
            left.add(each.name, why, "files")
    kept = [each for each, why in zip(listed, needed, strict=True) if not why]
    return kept, [str(line) for line in left.told()]


def _as_array(labels: Sequence[float]) -> NDArray[Any]:
    """Return labels (N,): int64 where all are classes, float64 where they are amounts."""
    classes = all(isinstance(label, int) for label in labels)
    return np.array(labels, np.int64 if classes else np.float64)


def _listed(
    names: Sequence[str],
    labels: Sequence[str] | None,
    sides: Sequence[Side] | None,
    base: str,
    where: str,
) -> list[_Listed]:
    """Bring together the rows of each image, in the order in which images are listed first."""
    found: dict[Hashable, _Listed] = {}
    for at, name in enumerate(names):
        if not name or "\0" in name:
            what = "no image" if not name else f"'{printable(name)}', which no file can be called"
            raise ValueError(f"{where}: row {at + 2} names {what}; name one or take it out")
    for at, (name, file) in enumerate(zip(names, _files(names, base), strict=True)):
        each = found.setdefault(file, _Listed(name))
        each.rows += 1
        if labels is not None and labels[at]:
            each.labels.add(labels[at])
        if sides is not None:
            each.sides.add(sides[at])
    return list(found.values())


def _files(names: Sequence[str], base: str) -> Iterable[Hashable]:
    """Return what tells the file of each name from others: two names may be of one, by links."""
    if len(names) < MANY:
        return [_file(os.path.join(base, name)) for name in names]
    with ThreadPoolExecutor(16) as pool:  # a network answers many at a time
        paths = [os.path.join(base, name) for name in names]
        return list(pool.map(_file, paths, chunksize=256))


def _file(path: str) -> Hashable:
    try:
        found = os.stat(path)
    except OSError:  # told when its header is read
        return os.path.abspath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _remarks(listed: Sequence[_Listed], most: int, where: str) -> list[str]:
    """Say what is listed more than once; refuse more contradictions than ``most``."""
    wrong = [each for each in listed if each.contradicts]
    labels = [each for each in wrong if len(each.labels) > 1]
    leaks = [each for each in wrong if each.leaks]
    lines = []
    if labels:
        some = " and ".join(sorted(labels[0].labels)[:2])
        lines.append(
            f"{len(labels):,} images have rows with different labels ({labels[0].name}: {some})"
        )
    if leaks:
        lines.append(
            f"{len(leaks):,} images are listed both for train and for val or test ({leaks[0].name})"
        )
    if len(wrong) > most:
        raise ValueError(
            f"{where}: {'; '.join(lines)}; correct the list, or set data.max_conflicts={len(wrong)}"
            " to go on with the former without a label and the latter held out only"
        )
    same = [each for each in listed if each.rows > 1 and not each.contradicts]
    if same:
        lines.append(
            f"{len(same):,} images are listed more than once and count once ({same[0].name})"
        )
    return lines


def _untaught(listed: Sequence[_Listed], held: Side | None) -> list[str]:
    """Say which images are evaluated on whose class no training image has."""
    taught = {label for each in listed if each.side(held) == "train" for label in each.labels}
    test = [each for each in listed if each.side(held) == "val" and each.labels]
    other = [each for each in test if not each.labels & taught]
    if not other or not taught:
        return []
    return [
        f"{len(other):,} of {len(test):,} images to evaluate on ({other[0].name}) are of a class"
        f" that no training image has ({', '.join(sorted(other[0].labels))})"
    ]


def _kind(classes: Sequence[str], fields: Sequence[str]) -> str:
    if classes:
        return f"{len(classes)} classes"
    return "numbers as labels" if fields else "unlabelled"


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


def _sides(splits: Sequence[str] | None, where: str) -> list[Side] | None:
    """Return the side that each row names. ValueError where one names none."""
    if splits is None:
        return None
    known = {name: side_of(name) for name in set(splits)}
    unknown = sorted(name for name, side in known.items() if side is None)
    if unknown:
        raise ValueError(
            f"{where}: the split column says '{unknown[0]}', must say {', '.join(SIDES)}; rename it"
            " there"
        )
    return [side for name in splits if (side := known[name]) is not None]


def _divide(listed: Sequence[_Listed], given: bool, labelled: bool) -> tuple[Side | None, str]:
    """Return the side to evaluate on, and the rule in words; without ``given`` sides set them."""
    if given:
        return held_of(side for each in listed for side in each.sides), "split by its column"
    percent = HELD_OUT[labelled]
    held = [place(each.name) < percent for each in listed]
    if len(listed) > 1 and sum(held) in (0, len(held)):
        least = min(range(len(listed)), key=lambda at: place(listed[at].name))
        held[least] = not held[least]
    for each, side in zip(listed, held, strict=True):
        each.sides = {"val" if side else "train"}
    return "val", f"held out where int(sha256(path).hexdigest()[:8], 16) % 100 < {percent}"
