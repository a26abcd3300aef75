"""Read what the path of a folder says of its images: a side, a class, how deep they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.splits import Side, side_of
from ssl_patches.data.walk import ImageFile

FEW = 10  # one in so many may lie elsewhere than CLASS/file


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


def place(path: str) -> int:
    """Map a path to 0..99, for holding out: uniform over paths, the same on every machine."""
    return int(hashlib.sha256(os.fsencode(path)).hexdigest()[:8], 16) % 100


def below_of(path: str) -> tuple[Side | None, str, str]:
    """Return the side that a folder on the way to ``path`` is named like, the path to that folder
    and the path without it."""
    *folders, name = path.split("/")
    for at, folder in enumerate(folders):
        if side := side_of(folder):
            below = "/".join([*folders[:at], *folders[at + 1 :], name])
            return side, "/".join(folders[: at + 1]) + "/", below
    return None, "", path


def read_folders(images: Images, *, plain: bool) -> list[Placed]:
    """Read the paths of all folders; return them in the order of their first images."""
    counts = np.bincount(images.folder_of, minlength=len(images.folders)).tolist()
    found = []
    for number, (path, name) in enumerate(zip(images.folders, images.least_names(), strict=True)):
        if counts[number]:
            side, group, below = (None, "", path) if plain else below_of(path)
            found.append(Placed(number, counts[number], path + name, path, side, group, below))
    return sorted(found, key=lambda each: each.least)


def count_of(placed: Iterable[Placed]) -> int:
    """Count the images of some folders."""
    return sum(each.count for each in placed)


def in_folders(images: Images, placed: Sequence[Placed]) -> NDArray[np.int64]:
    """Return the numbers of the images in some folders, in order."""
    wanted = np.zeros(len(images.folders), bool)
    wanted[[each.number for each in placed]] = True
    return np.flatnonzero(wanted[images.folder_of])
