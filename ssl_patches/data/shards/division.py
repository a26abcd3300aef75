"""Decide which shards and images are of a split, and what the numbers of their labels mean.

* A shard is on the side that its name or its folder says; what is used on no side is told. Where no
  name says so, images are divided by the hash of their names.
* Labels that are text are classes, in the order of all of them, on both sides. Parquet names its
  classes in each file: files that name them in another order are brought to one, by the names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.labels import one_order, said_alike
from ssl_patches.data.layout import HELD_OUT
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.placed import place
from ssl_patches.data.shards.listing import Shard
from ssl_patches.data.shards.members import Members
from ssl_patches.data.splits import held_of


@dataclass(frozen=True, slots=True)
class ShardSides:
    """The shards of a split.

    ``part``: the hashes of the images that belong to it, first and one beyond the last; None: all.
    ``rule``: in words. ``left``: shards that are on no side.
    """

    shards: list[Shard]
    part: tuple[int, int] | None
    rule: str
    left: list[LeftOut]


def sides_of_shards(shards: Sequence[Shard], split: str) -> ShardSides:
    """Choose the shards of ``split``. ValueError where all are put aside."""
    sides = {shard.side for shard in shards}
    held = held_of(sides)
    if held and ("train" in sides or None in sides):
        trained = "train" if "train" in sides else None
        wanted = trained if split == "train" else held
        chosen = [shard for shard in shards if shard.side == wanted]
        rest = [shard for shard in shards if shard.side not in (trained, held)]
        names = f"named train and {held}" if trained else f"named {held}, and all else to train on"
        why = f"the others are {names}" if trained else f"there are some of {held} to evaluate on"
        return ShardSides(chosen, None, f"shards that are {names}", _left(rest, why))
    if held:
        raise ValueError(
            f"data.path: all shards are put aside by their names ({shards[0].name}), and there are"
            " none to train on; name those of train as well, or rename them"
        )
    trained = "train" if "train" in sides else None
    chosen = [shard for shard in shards if shard.side == trained]
    rest = [shard for shard in shards if shard.side != trained]
    least = HELD_OUT[True]
    rule = f"held out where int(sha256(name).hexdigest()[:8], 16) % 100 < {least}"
    part = (least, 100) if split == "train" else (0, least)
    return ShardSides(chosen, part, rule, _left(rest, "the others are named train"))


def _left(shards: Sequence[Shard], why: str) -> list[LeftOut]:
    return [LeftOut(len(shards), "shards", shards[0].name, why)] if shards else []


def kept_of(table: Members, part: tuple[int, int] | None) -> NDArray[np.int32]:
    """Return the numbers of the images of a shard whose hash lies in ``part``; None: all."""
    if part is None:
        return np.arange(len(table), dtype=np.int32)
    chosen = (table.places >= part[0]) & (table.places < part[1])
    return np.flatnonzero(chosen).astype(np.int32)


def on_side(name: str, part: tuple[int, int] | None) -> bool:
    """Tell whether an image of that name is one of ``kept_of``."""
    return part is None or part[0] <= place(name) < part[1]


def named_labels(
    tables: Sequence[Members],
    listed: Sequence[str],
    others: Callable[[], Sequence[Members]],
    where: str,
) -> tuple[list[NDArray[np.int64]], list[str]]:
    """Return the labels (N,) of the images of each table, -1 = none, and the names of the classes.

    ``listed``: the names of all classes, where a list says them. ``others``: reads the tables of
    the other side, whose classes count as well. ValueError where some shards name classes and
    others number them.
    """
    labels = [table.labels for table in tables]
    if not any(table.classes for table in tables):
        most = max((int(each.max(initial=-1)) for each in labels), default=-1) + 1
        more = (str(at) for at in range(len(listed), most))
        return labels, [*listed, *more] if most else list(listed)
    known = [table for table in (*tables, *others()) if table.labels.max(initial=-1) >= 0]
    bare = sum(not table.classes for table in known)
    if bare:
        raise ValueError(
            f"{where}: {bare:,} shards have numbers as labels and {len(known) - bare:,} have names;"
            " write them alike"
        )
    classes = _ordered([table.classes for table in known], listed, where)
    number = {name: at for at, name in enumerate(classes)}
    found = []
    for table in tables:
        as_named = np.array([number[name] for name in table.classes] + [-1], np.int64)
        if table.labels.max(initial=-1) >= len(table.classes):
            raise ValueError(
                f"{where}: a shard has the label {table.labels.max()} and names"
                f" {len(table.classes)} classes; write it again"
            )
        found.append(as_named[table.labels])
    return found, classes


def _ordered(named: Sequence[list[str]], listed: Sequence[str], where: str) -> list[str]:
    """Return one order of the classes that shards name. ValueError for one that is not listed."""
    if listed:
        if unknown := sorted({name for names in named for name in names} - set(listed)):
            raise ValueError(
                f"{where}: the label '{unknown[0]}' is no class of classes.txt ({len(unknown)}"
                " such); add it there, or write the shards again"
            )
        return list(listed)
    return one_order(named)


def said_of_labels(
    tables: Sequence[Members], classes: Sequence[str], most: int, where: str
) -> list[str]:
    """Return what there is to say of tables: what is not used, or has no label.

    ValueError for more than ``most`` images with two labels.
    """
    wrong = [name for table in tables for name in table.contradict]
    lines = []
    if wrong:
        lines.append(f"{len(wrong):,} images have two labels that differ ({wrong[0]})")
    if len(wrong) > most:
        raise ValueError(
            f"{where}: {lines[0]}; write them again, or set data.max_conflicts={len(wrong)} to go"
            " on with them unlabelled"
        )
    counted: dict[tuple[str, str, str], LeftOut] = {}
    for each in (each for table in tables for each in table.left):
        key = each.what, each.why, each.fate
        before = counted.get(key)
        count = each.count + (before.count if before else 0)
        counted[key] = LeftOut(count, each.what, (before or each).example, each.why, each.fate)
    return [*lines, *map(str, counted.values()), *said_alike(classes)]
