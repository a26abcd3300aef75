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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.splits import Side, held_of, side_of
from ssl_patches.data.walk import ImageFile, LeftOut

HELD_OUT = {True: 20, False: 5}  # percent, with labels or without
FEW = 10  # one in so many may lie elsewhere than CLASS/file
SHOWN = 4  # names in a message


@dataclass(frozen=True, slots=True)
class Placed:
    """Images of one folder, and how its path reads.

    ``number``: of the folder. ``least``: the first path of its images. ``path``: of the folder, ""
    or with a "/" at its end. ``side``: of the folder named like a split on its way; ``group``: the
    path to that folder. ``below``: the path without that folder.
    """

    number: int
    count: int
    least: str
    path: str
    side: Side | None
    group: str
    below: str

    @property
    def least_below(self) -> str:
        """Return the first path of its images without the folder named like a split."""
        return self.below + self.least[len(self.path) :]

    @property
    def name(self) -> str:
        """Return the class that the path names, if it lies at CLASS/file."""
        return self.below.partition("/")[0]

    @property
    def depth(self) -> int:
        """Return how many folders the images lie in, without that of a split."""
        return self.below.count("/")


class Images(Protocol):
    """What is divided: images by number, in folders by number."""

    @property
    def folders(self) -> Sequence[str]:
        """Return the path of each folder, "" or with a "/" at its end."""

    @property
    def folder_of(self) -> NDArray[np.integer[Any]]:
        """Return the folder of each image, (N,)."""

    def least_names(self) -> Sequence[str]:
        """Return the first name in each folder; "" for a folder without images."""

    def places(self, chosen: NDArray[np.int64], *, below: bool) -> NDArray[np.uint8]:
        """Return ``place`` of the path of some images, (M,).

        ``below``: without the folder named like a split.
        """

    def twins(
        self, some: NDArray[np.int64], others: NDArray[np.int64]
    ) -> Sequence[tuple[int, int]]:
        """Return those of ``some`` that are one file with one of ``others``, and the last such."""

    def path_of(self, at: int) -> str:
        """Return the path of an image."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The images of one split.

    ``images`` (M,): their numbers, in order; ``labels`` (M,): of the class, -1 = no label.
    ``classes``: empty = unlabelled. ``rule``: in words, how the split was made. ``left``: what is
    used in neither split, or has no label.
    """

    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: list[str]
    rule: str
    left: list[LeftOut]


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one split, as ``Chosen``. ``names``: the class of each, None = no label."""

    files: list[ImageFile]
    names: list[str | None]
    classes: list[str]
    rule: str
    left: list[LeftOut]


@dataclass(frozen=True, slots=True)
class _Sides:
    """The folders that are divided. ``held`` None: by the hash of the path.

    ``without``: images of ``train`` that are held out too.
    """

    train: list[Placed]
    held: list[Placed] | None
    left: list[LeftOut]
    folders: str
    without: frozenset[int] = frozenset()


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
    """Select the files of ``split``, train or val, as ``divide`` does."""
    ordered = sorted(files, key=lambda file: file.path)
    found = divide(
        ListedImages(ordered), split, split_folders=split_folders, max_conflicts=max_conflicts
    )
    names = [None if label < 0 else found.classes[label] for label in found.labels.tolist()]
    chosen = [ordered[at] for at in found.images.tolist()]
    return Selection(chosen, names, found.classes, found.rule, found.left)


def divide(
    images: Images,
    split: str,
    *,
    split_folders: bool | None = None,
    max_conflicts: int = 0,
) -> Chosen:
    """Select the images of ``split``, train or val, out of some in the order of their paths.

    ``split_folders``: whether folders named like splits are the splits; None: as the module says.
    ``max_conflicts``: so many files may lie on both sides; they are held out.
    ``ValueError`` for a folder that can be read in two ways, that holds nothing but what was put
    aside, for a held-out class that train has not, and for a file that lies on both sides.
    """
    plain = split_folders is False
    sides = _sides(_placed(images, plain=plain), told=split_folders is not None)
    if sides.held is None:
        return _divided(images, sides, split, below=not plain)
    return _given(images, _without_both(images, sides, sides.held, max_conflicts), split)


class ListedImages:
    """Image files, in the order of their paths, as ``divide`` takes them."""

    def __init__(self, found: Sequence[ImageFile]) -> None:
        self._found, numbers = found, dict[str, int]()
        folders = [file.path[: file.path.rfind("/") + 1] for file in found]
        self.folder_of = np.array(
            [numbers.setdefault(folder, len(numbers)) for folder in folders], np.int64
        )
        self.folders = list(numbers)
        self._least: dict[int, str] = {}
        for file, number in zip(found, self.folder_of.tolist(), strict=True):
            self._least.setdefault(number, file.path[len(self.folders[number]) :])

    def least_names(self) -> Sequence[str]:
        """Return the first name in each folder."""
        return [self._least[number] for number in range(len(self.folders))]

    def places(self, chosen: NDArray[np.int64], *, below: bool) -> NDArray[np.uint8]:
        """Return ``place`` of some paths, (M,)."""
        paths = [self.path_of(at) for at in chosen.tolist()]
        cut = [below_of(path)[2] for path in paths] if below else paths
        return np.array([place(path) for path in cut], np.uint8)

    def twins(
        self, some: NDArray[np.int64], others: NDArray[np.int64]
    ) -> Sequence[tuple[int, int]]:
        """Return those of ``some`` that are one file with one of ``others``, and the last such."""
        there = {self._found[at].file: at for at in others.tolist()}
        there.pop(None, None)
        files = [(at, self._found[at].file) for at in some.tolist()]
        return [(at, there[file]) for at, file in files if file in there]

    def path_of(self, at: int) -> str:
        """Return a path."""
        return self._found[at].path


def below_of(path: str) -> tuple[Side | None, str, str]:
    """Return the side that a folder on the way to ``path`` is named like, the path to that folder
    and the path without it."""
    *folders, name = path.split("/")
    for at, folder in enumerate(folders):
        if side := side_of(folder):
            below = "/".join([*folders[:at], *folders[at + 1 :], name])
            return side, "/".join(folders[: at + 1]) + "/", below
    return None, "", path


def _placed(images: Images, *, plain: bool) -> list[Placed]:
    """Read the paths of all folders; return them in the order of their first images."""
    counts = np.bincount(images.folder_of, minlength=len(images.folders)).tolist()
    found = []
    for number, (path, name) in enumerate(zip(images.folders, images.least_names(), strict=True)):
        if counts[number]:
            side, group, below = (None, "", path) if plain else below_of(path)
            found.append(Placed(number, counts[number], path + name, path, side, group, below))
    return sorted(found, key=lambda each: each.least)


def _count(placed: Iterable[Placed]) -> int:
    return sum(each.count for each in placed)


def _plain(placed: Sequence[Placed]) -> list[Placed]:
    """Take names of splits as those of any other folder."""
    return [replace(each, side=None, group="", below=each.path) for each in placed]


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
    own = read_classes(some).classes
    others = any(each.depth == 1 for each in rest)
    alone = _count(each for each in rest if each.depth == 0)
    if own or not others or alone > max(1, _count(rest) // FEW):
        return False
    return any(each.depth == 0 for each in some)


def _two_ways(some: Sequence[Placed], rest: Sequence[Placed], question: str) -> ValueError:
    others = sorted({each.name for each in rest if each.depth})
    shown = ", ".join([f"{name}/" for name in others[:SHOWN]] + ["..."] * (len(others) > SHOWN))
    return ValueError(
        f"data.root: {_named(some)} ({_count(some):,} images) stands beside {shown}"
        f" ({_count(rest):,} images): {question} set data.split_folders=false for a class,"
        " data.split_folders=true for a split"
    )


def _divided(images: Images, sides: _Sides, split: str, *, below: bool) -> Chosen:
    """Select among images that came without a division."""
    reading = read_classes(sides.train)
    percent = HELD_OUT[bool(reading.classes)]
    chosen = _in_folders(images, sides.train)
    # as plain paths where the names of splits turned out to mean nothing
    below = below and any(each.side for each in sides.train)
    places = images.places(chosen, below=below)
    held = places < percent
    if len(chosen) > 1 and held.sum() in (0, len(chosen)):
        least = int(places.argmin())  # the first path of those with the least
        held[least] = not held[least]
    part = chosen[held] if split == "val" else chosen[~held]
    rule = (
        f"{_kind(reading.classes)}; no val/ or test/: held out where int(sha256(path).hexdigest()"
        f"[:8], 16) % 100 < {percent}"
    )
    return _labelled(images, part, sides.train, reading.classes, rule, sides.left + reading.left)


def _given(images: Images, sides: _Sides, split: str) -> Chosen:
    """Select where folders divide the images."""
    held = sides.held or []
    train = _without(images, sides)
    of_train, of_held = read_classes(train), read_classes(held)
    classes = of_train.classes
    part = train if split == "train" else held
    remarks = sides.left + of_train.left + (of_held.left if not classes else [])
    if not classes:
        classes = of_train.classes if split == "train" else of_held.classes
    else:
        regular = {each.name for each in held if each.depth == 1}
        unknown = sorted(regular - set(classes))
        if unknown:
            raise ValueError(
                f"data.root: {held[0].group}{unknown[0]} is a class that train/ has not"
                f" ({len(unknown)} such); give train/ and val/ the same class folders"
            )
        odd = [each for each in held if each.depth != 1]
        remarks += [LeftOut(_count(odd), "images", odd[0].least, _ODD, "unlabelled")] if odd else []
        if split == "val" and _count(odd) == _count(held):
            classes = []
    chosen = _in_folders(images, part)
    if split == "train" and sides.without:
        chosen = chosen[~np.isin(chosen, np.array(sorted(sides.without)))]
    rule = f"{_kind(classes)}; the folders {sides.folders}"
    return _labelled(images, chosen, part, classes, rule, remarks)


def _in_folders(images: Images, placed: Sequence[Placed]) -> NDArray[np.int64]:
    """Return the numbers of the images in some folders, in order."""
    wanted = np.zeros(len(images.folders), bool)
    wanted[[each.number for each in placed]] = True
    return np.flatnonzero(wanted[images.folder_of])


def _labelled(
    images: Images,
    chosen: NDArray[np.int64],
    placed: Sequence[Placed],
    classes: list[str],
    rule: str,
    left: list[LeftOut],
) -> Chosen:
    """Give the images in folders that are a class its number."""
    number = {name: at for at, name in enumerate(classes)}
    labels = np.full(len(images.folders), -1, np.int64)
    for each in placed:
        if each.depth == 1:
            labels[each.number] = number.get(each.name, -1)
    return Chosen(chosen, labels[images.folder_of[chosen]], classes, rule, left)


def read_classes(placed: Sequence[Placed]) -> _Reading:
    """Read classes out of paths: those of CLASS/file, where there are two or more.

    All but a few images have to lie so. What does not is told.
    """
    regular = [each for each in placed if each.depth == 1]
    names = sorted({each.name for each in regular})
    odd = [each for each in placed if each.depth != 1]
    if len(names) >= 2 and _count(odd) <= max(1, _count(placed) // FEW):
        return _Reading(names, _odd(odd))
    if len(names) >= 2:
        why = (
            f"not at CLASS/file as the {_count(regular):,} others in {len(names)} folders are, so"
            " that no image has a label"
        )
        return _Reading([], [_unlabelled(odd, why)])
    deep = [each for each in odd if each.depth]
    if deep and len({each.below for each in deep}) > 1:
        why = (
            "deeper than CLASS/file, so that no image has a label; set data.root to the folder"
            " of the classes if there are any"
        )
        return _Reading([], [_unlabelled(deep, why)])
    return _Reading([], [])


def _unlabelled(placed: Sequence[Placed], why: str) -> LeftOut:
    # of several that read the same without the folder of the split, the last
    least = min(each.least_below for each in placed)
    example = max(each.least for each in placed if each.least_below == least)
    return LeftOut(_count(placed), "images", example, why, "unlabelled")


_ODD = "not at CLASS/file as the others are"


def _odd(placed: Sequence[Placed]) -> list[LeftOut]:
    return [_unlabelled(placed, _ODD)] if placed else []


def _left(placed: Sequence[Placed], why: str) -> list[LeftOut]:
    if not placed:
        return []
    return [LeftOut(_count(placed), "images", min(each.least for each in placed), why)]


def _without_both(images: Images, sides: _Sides, held: Sequence[Placed], most: int) -> _Sides:
    """Take out of train what lies on both sides by links; refuse more of it than ``most``."""
    others, own = _in_folders(images, held), _in_folders(images, sides.train)
    twins = images.twins(own, others)
    if not twins:
        return sides
    both, (one, other) = [at for at, _ in twins], twins[0]
    first = f"{images.path_of(one)} is {images.path_of(other)}"
    if len(both) > most:
        raise ValueError(
            f"data.root: {len(both):,} files are both trained on and held out, by links ({first});"
            f" remove one of each, or set data.max_conflicts={len(both)} to hold them out only"
        )
    why = f"held out too, by links ({first}), so not trained on"
    left = [LeftOut(len(both), "images", images.path_of(both[0]), why)]
    return replace(sides, left=sides.left + left, without=frozenset(both))


def _without(images: Images, sides: _Sides) -> list[Placed]:
    """Return the folders of train as they are without what is held out too."""
    if not sides.without:
        return sides.train
    gone = Counter(int(images.folder_of[at]) for at in sides.without)
    found = []
    for each in sides.train:
        if gone[each.number] == 0:
            found.append(each)
        elif gone[each.number] < each.count:
            rest = _in_folders(images, [each])
            first = next(at for at in rest.tolist() if at not in sides.without)
            count = each.count - gone[each.number]
            found.append(replace(each, count=count, least=images.path_of(first)))
    return sorted(found, key=lambda each: each.least)


def _kind(classes: Sequence[str]) -> str:
    return f"labelled by {len(classes)} class folders" if classes else "unlabelled"


def _named(*parts: Sequence[Placed]) -> str:
    groups = [group for part in parts for group in sorted({each.group for each in part})]
    shown = groups[:SHOWN] + ["..."] * (len(groups) > SHOWN)
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + shown[-1]
