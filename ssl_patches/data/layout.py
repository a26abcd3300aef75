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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.class_folders import ODD, read_classes
from ssl_patches.data.left_out import LeftOut
from ssl_patches.data.placed import (
    Images,
    ListedImages,
    Placed,
    count_of,
    in_folders,
    place,
    read_folders,
)
from ssl_patches.data.sides import Sides, decide_sides, train_without, without_both
from ssl_patches.data.walk import ImageFile

HELD_OUT = {True: 20, False: 5}  # percent, with labels or without


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
    sides = decide_sides(read_folders(images, plain=plain), told=split_folders is not None)
    if sides.held is None:
        return _divided(images, sides, split, below=not plain)
    return _given(images, without_both(images, sides, sides.held, max_conflicts), split)


def _divided(images: Images, sides: Sides, split: str, *, below: bool) -> Chosen:
    """Select among images that came without a division."""
    reading = read_classes(sides.train)
    percent = HELD_OUT[bool(reading.classes)]
    chosen = in_folders(images, sides.train)
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


def _given(images: Images, sides: Sides, split: str) -> Chosen:
    """Select where folders divide the images."""
    held = sides.held or []
    train = train_without(images, sides)
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
        remarks += (
            [LeftOut(count_of(odd), "images", odd[0].least, ODD, "unlabelled")] if odd else []
        )
        if split == "val" and count_of(odd) == count_of(held):
            classes = []
    chosen = in_folders(images, part)
    if split == "train" and sides.without:
        chosen = chosen[~np.isin(chosen, np.array(sorted(sides.without)))]
    rule = f"{_kind(classes)}; the folders {sides.folders}"
    return _labelled(images, chosen, part, classes, rule, remarks)


def _kind(classes: Sequence[str]) -> str:
    return f"labelled by {len(classes)} class folders" if classes else "unlabelled"


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
