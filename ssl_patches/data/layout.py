"""Understand a folder: the side of train and val on which each image stands, and the classes that
their folders name.

* Folders that are named like splits are the splits (``splits.py`` knows the names), at any depth:
  ``DIR/train/CLASS/file``, ``DIR/bottle/test/file``. Where some were put aside twice, ``val`` is
  evaluated on and ``test`` is left alone. Images in no such folder are left out, and told;
* without one (``DIR/train`` alone counts as DIR) an image is held out when
  ``int(sha256(path below DIR).hexdigest()[:8], 16) % 100 < P``, P = 20 with labels and 5 without.
  The rule looks at one path at a time, so an image never changes sides when others are added. A
  side that gets none is given one image;
* what was put aside is never trained on, whatever the folder is called;
* images at exactly ``CLASS/file``, in two classes or more, are labelled. A few that lie elsewhere
  (one, or one in ten) have no label and are told; with more of them all are unlabelled;
* a folder that can be read in two ways (``bus/``, ``car/``, ``train/``: is the last a class?) is
  refused until ``split_folders`` says which.

The trap: frames of a video, or crops of one picture, are near copies. Held out by hash they lie on
both sides; split those by folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssl_patches.data.splits import Side, held_of, side_of
from ssl_patches.data.walk import ImageFile, LeftOut

HELD_OUT = {True: 20, False: 5}  # percent, with labels or without
FEW = 10  # one in so many may lie elsewhere than CLASS/file
SHOWN = 4  # names in a message


@dataclass(frozen=True, slots=True)
class Placed:
    """An image file and how its path reads.

    ``side``: of the folder named like a split on its way; ``group``: the path to that folder, with
    a "/" at its end. ``below``: the path without that folder.
    """

    file: ImageFile
    side: Side | None
    group: str
    below: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one split.

    ``names``: the class of each, None = no label. ``classes``: empty = unlabelled. ``rule``: in
    words, how the split was made. ``left``: what is used in neither split, or has no label.
    """

    files: list[ImageFile]
    names: list[str | None]
    classes: list[str]
    rule: str
    left: list[LeftOut]


@dataclass(frozen=True, slots=True)
class _Sides:
    """The images that are divided. ``held`` None: by the hash of the path."""

    train: list[Placed]
    held: list[Placed] | None
    left: list[LeftOut]
    folders: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """The classes that some paths name, and what does not fit them."""

    classes: list[str]
    left: list[LeftOut]


def place(path: str) -> int:
    """Map a path to 0..99, for holding out: uniform over paths, the same on every machine."""
    return int(hashlib.sha256(os.fsencode(path)).hexdigest()[:8], 16) % 100


def divide_numbers(count: int, split: str) -> list[int]:
    """Return the numbers of ``split`` among 0..count-1: divided 80/20 by the hash of each."""
    held = {at for at in range(count) if place(str(at)) < HELD_OUT[True]}
    if count > 1 and len(held) in (0, count):
        held ^= {min(range(count), key=lambda at: place(str(at)))}
    return [at for at in range(count) if (at in held) == (split == "val")]


def select(
    files: Sequence[ImageFile],
    split: str,
    *,
    split_folders: bool | None = None,
    max_conflicts: int = 0,
) -> Selection:
    """Select the files of ``split``, train or val.

    ``split_folders``: whether folders named like splits are the splits; None: as the module says.
    ``max_conflicts``: so many files may lie on both sides; they are held out.
    ``ValueError`` for a folder that can be read in two ways, that holds nothing but what was put
    aside, for a held-out class that train has not, and for a file that lies on both sides.
    """
    placed = [
        Placed(file, None, "", file.path) if split_folders is False else _placed(file)
        for file in files
    ]
    sides = _sides(placed, told=split_folders is not None)
    if sides.held is None:
        return _divided(sides, split)
    return _given(_without_both(sides, sides.held, max_conflicts), sides.held, split)


def _placed(file: ImageFile) -> Placed:
    *folders, name = file.path.split("/")
    for at, folder in enumerate(folders):
        if side := side_of(folder):
            below = "/".join([*folders[:at], *folders[at + 1 :], name])
            return Placed(file, side, "/".join(folders[: at + 1]) + "/", below)
    return Placed(file, None, "", file.path)


def _plain(placed: Sequence[Placed]) -> list[Placed]:
    """Take names of splits as those of any other folder."""
    return [Placed(each.file, None, "", each.file.path) for each in placed]


def _sides(placed: Sequence[Placed], *, told: bool) -> _Sides:
    """Decide who is on which side. ``told``: that folders named like splits are the splits."""
    rest = [each for each in placed if each.side is None]
    train = [each for each in placed if each.side == "train"]
    held = held_of(each.side for each in placed)
    aside = [each for each in placed if held and each.side == held]
    left = _left([each for each in placed if each.side not in (None, "train", held)], _FOR_LATER)
    if held and train:
        beside = _left(rest, f"in none of {_named(train + aside)}")
        return _Sides(train, aside, left + beside, _named(train, aside))
    if held:
        return _without_train(rest, aside, left, told=told)
    if not train:
        return _Sides(list(placed), None, [], "")
    return _train_alone(placed, rest, train, told=told)


_FOR_LATER = "test images are kept for later where there are validation images"


def _without_train(
    rest: list[Placed], aside: list[Placed], left: list[LeftOut], *, told: bool
) -> _Sides:
    """Train on what is not put aside."""
    if not rest:
        raise ValueError(
            f"data.root: all images lie in {_named(aside)}, which is put aside by its name, and"
            " there are none to train on; set data.root to that folder itself to divide it, or"
            " data.split_folders=false to take its name for any other"
        )
    nested = [each for each in aside if each.group.count("/") > 1]
    if nested and not told:
        why = (
            f"put aside by the name of {_named(nested)}, with no train beside;"
            " data.split_folders=true evaluates on it, false takes it for any other folder"
        )
        return _Sides(rest, None, left + _left(aside, why), "")
    if not told and _may_be_class(aside, rest):
        raise _two_ways(aside, rest, "is it a class, or put aside for testing?")
    return _Sides(rest, aside, left, f"{_named(aside)}, and all else to train on")


def _train_alone(
    placed: Sequence[Placed], rest: list[Placed], train: list[Placed], *, told: bool
) -> _Sides:
    """Divide train where nothing was put aside."""
    nested = any(each.group.count("/") > 1 for each in train)
    if nested and not told:
        return _Sides(_plain(placed), None, [], "")
    if not told and _may_be_class(train, rest):
        raise _two_ways(train, rest, "is it a class, or all that is to be trained on?")
    left = _left(rest, f"not in {_named(train)}")
    return _Sides(train, None, left, "")


def _may_be_class(some: Sequence[Placed], rest: Sequence[Placed]) -> bool:
    """Tell whether a folder named like a split reads as one class beside the others."""
    own = read_classes([each.below for each in some]).classes
    others = {each.below.split("/")[0] for each in rest if each.below.count("/") == 1}
    alone = sum(each.below.count("/") == 0 for each in rest)
    if own or not others or alone > max(1, len(rest) // FEW):
        return False
    return any(each.below.count("/") == 0 for each in some)


def _two_ways(some: Sequence[Placed], rest: Sequence[Placed], question: str) -> ValueError:
    others = sorted({each.below.split("/")[0] for each in rest if "/" in each.below})
    shown = ", ".join([f"{name}/" for name in others[:SHOWN]] + ["..."] * (len(others) > SHOWN))
    return ValueError(
        f"data.root: {_named(some)} ({len(some):,} images) stands beside {shown}"
        f" ({len(rest):,} images): {question} set data.split_folders=false for a class,"
        " data.split_folders=true for a split"
    )


def _divided(sides: _Sides, split: str) -> Selection:
    """Select among images that came without a division."""
    reading = _classes(sides.train)
    percent = HELD_OUT[bool(reading.classes)]
    held = {each.file for each in sides.train if place(each.below) < percent}
    if len(sides.train) > 1 and len(held) in (0, len(sides.train)):
        least = min(sides.train, key=lambda each: (place(each.below), each.file.path))
        held ^= {least.file}
    part = [each for each in sides.train if (each.file in held) == (split == "val")]
    rule = (
        f"{_kind(reading.classes)}; no val/ or test/: held out where int(sha256(path).hexdigest()"
        f"[:8], 16) % 100 < {percent}"
    )
    return _selection(part, reading.classes, rule, sides.left + reading.left)


def _given(sides: _Sides, held: list[Placed], split: str) -> Selection:
    """Select where folders divide the images."""
    of_train, of_held = _classes(sides.train), _classes(held)
    classes = of_train.classes
    part = sides.train if split == "train" else held
    remarks = sides.left + of_train.left + (of_held.left if not classes else [])
    if not classes:
        classes = of_train.classes if split == "train" else of_held.classes
    else:
        regular = {each.below.split("/")[0] for each in held if each.below.count("/") == 1}
        unknown = sorted(regular - set(classes))
        if unknown:
            raise ValueError(
                f"data.root: {held[0].group}{unknown[0]} is a class that train/ has not"
                f" ({len(unknown)} such); give train/ and val/ the same class folders"
            )
        odd = [each.file.path for each in held if each.below.count("/") != 1]
        remarks += _odd(odd)
        if split == "val" and len(odd) == len(held):
            classes = []
    return _selection(part, classes, f"{_kind(classes)}; the folders {sides.folders}", remarks)


def _selection(
    part: Sequence[Placed], classes: list[str], rule: str, left: list[LeftOut]
) -> Selection:
    known = set(classes)
    names = [
        each.below.split("/")[0]
        if each.below.count("/") == 1 and each.below.split("/")[0] in known
        else None
        for each in part
    ]
    return Selection([each.file for each in part], names, classes, rule, left)


def read_classes(paths: Sequence[str]) -> _Reading:
    """Read classes out of paths: those of CLASS/file, where there are two or more.

    All but a few images have to lie so. What does not is told.
    """
    regular = [path for path in paths if path.count("/") == 1]
    names = sorted({path.split("/")[0] for path in regular})
    odd = [path for path in paths if path.count("/") != 1]
    if len(names) >= 2 and len(odd) <= max(1, len(paths) // FEW):
        return _Reading(names, _odd(odd))
    if len(names) >= 2:
        why = (
            f"not at CLASS/file as the {len(regular):,} others in {len(names)} folders are, so"
            " that no image has a label"
        )
        return _Reading([], [_unlabelled(odd, why)])
    deep = [path for path in odd if "/" in path]
    if deep and len({path.rsplit("/", 1)[0] for path in deep}) > 1:
        why = (
            "deeper than CLASS/file, so that no image has a label; set data.root to the folder"
            " of the classes if there are any"
        )
        return _Reading([], [_unlabelled(deep, why)])
    return _Reading([], [])


def _classes(part: Sequence[Placed]) -> _Reading:
    """Read classes out of paths below the folders of a split; what is told has the whole path."""
    reading = read_classes([each.below for each in part])
    whole = {each.below: each.file.path for each in part}
    left = [replace(each, example=whole[each.example]) for each in reading.left]
    return _Reading(reading.classes, left)


def _unlabelled(paths: Sequence[str], why: str) -> LeftOut:
    return LeftOut(len(paths), "images", min(paths), why, "unlabelled")


def _odd(paths: Sequence[str]) -> list[LeftOut]:
    why = "not at CLASS/file as the others are"
    return [_unlabelled(paths, why)] if paths else []


def _left(placed: Sequence[Placed], why: str) -> list[LeftOut]:
    if not placed:
        return []
    return [LeftOut(len(placed), "images", min(each.file.path for each in placed), why)]


def _without_both(sides: _Sides, held: Sequence[Placed], most: int) -> _Sides:
    """Take out of train what lies on both sides by links; refuse more of it than ``most``."""
    there = {each.file.file: each.file.path for each in held if each.file.file is not None}
    both = [each for each in sides.train if each.file.file in there]
    if not both:
        return sides
    twin = next(path for file, path in there.items() if file == both[0].file.file)
    first = f"{both[0].file.path} is {twin}"
    if len(both) > most:
        raise ValueError(
            f"data.root: {len(both):,} files are both trained on and held out, by links ({first});"
            f" remove one of each, or set data.max_conflicts={len(both)} to hold them out only"
        )
    train = [each for each in sides.train if each.file.file not in there]
    why = f"held out too, by links ({first}), so not trained on"
    left = [LeftOut(len(both), "images", both[0].file.path, why)]
    return _Sides(train, sides.held, sides.left + left, sides.folders)


def _kind(classes: Sequence[str]) -> str:
    return f"labelled by {len(classes)} class folders" if classes else "unlabelled"


def _named(*parts: Sequence[Placed]) -> str:
    groups = [group for part in parts for group in sorted({each.group for each in part})]
    shown = groups[:SHOWN] + ["..."] * (len(groups) > SHOWN)
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + shown[-1]
