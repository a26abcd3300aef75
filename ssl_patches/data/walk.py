"""Walk through a folder: which files are its images, and which are not, with the reason.

What is no image of the user's is counted and told, never taken:

* what this program wrote: runs, exports, caches, ``dry_run.png``, figures (they carry a mark);
* what other programs leave: thumbnails (``@eaDir``), ``__MACOSX``, ``._x.jpg``, bins;
* hidden files and folders. Hidden folders are not looked into;
* ``masks``, ``labels`` or ``annotations`` beside a folder ``images``; beside other images they are
  used, and told where their files are called like those;
* formats that are not read (raw files of cameras), or not without a library (``.dcm``), and files
  that begin as images do whatever they are called: one of each ending is looked at;
* ``.npy`` and ``.npz`` files beside images: what somebody computed from them. Where pictures are
  the few (one in ten of those files, or one), the arrays are the images.

Folders are walked through symlinks, and a broken symlink is an image that cannot be read.
"""

from __future__ import annotations

import os
from bisect import bisect_left as bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.beside import MASKED, arrays_or_pictures, masks_by_name, maybe_masks
from ssl_patches.data.formats import unreadable_suffixes
from ssl_patches.data.left_out import Aside, LeftOut
from ssl_patches.data.look import (
    DEVICE,
    FIELDS,
    MASK,
    NUMBER,
    SIZE,
    UNREADABLE,
    Mark,
    Seen,
    circle,
    look_into,
)
from ssl_patches.data.no_images import (
    DRAWN,
    HIDDEN_LEAVINGS,
    OWN,
    UNNAMED,
    begins_as_image,
    drawn_by_us,
    made_by_us,
    no_images_in,
)
from ssl_patches.data.suffixes import ARRAYS, HUGE, SUFFIXES, UNREAD, ZARR, ends_of

MOST_ENDINGS = 64  # of names that are none of images
NOT_READ = "{} is no format that is read here"
IN_WINDOWS = "{} is a huge image, which data=windows reads"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file found in a folder.

    ``file``: device and number of the file, equal for two names of one file; None: not known.
    """

    path: str  # below the root, parts joined by "/"
    bytes: int
    file: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Found:
    """The files below a folder.

    ``images`` are sorted by path. ``others``: how many visible files are no images. ``left``: what
    might be taken for images and is not.
    """

    images: list[ImageFile]
    others: int
    left: list[LeftOut]


@dataclass(slots=True)
class Stretch:
    """Images of one folder that follow each other in the order of all paths.

    ``below``: the folder below the root, "" or with a "/" at its end. ``values``: as ``look.Seen``.
    """

    below: str
    names: list[str]
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that is still to be looked at.

    ``above``: device and number of those that it lies in. ``why``: nothing in it is used.
    """

    below: str
    above: frozenset[tuple[int, int]]
    why: str | None


class Walk:
    """Goes through a folder once, in the order of the paths of its images.

    ``huge``: slides and folders of Zarr are images too. After ``runs`` is used up, ``others`` is
    how many visible files are no images, ``aside`` what might be taken for images and is not, and
    ``looked`` the mark of every folder that was looked at. It has dates where all that the folder
    holds are images.
    """

    def __init__(self, root: str, *, huge: bool = False) -> None:
        self.root, self.huge = root, huge
        self.others, self.aside, self.masked = 0, Aside(), Aside()
        self.looked: dict[str, Mark] = {}
        self._unknown: dict[str, tuple[int, str]] = {}
        self._without = unreadable_suffixes()
        self._known = frozenset((*SUFFIXES, *HUGE) if huge else SUFFIXES)

    def runs(self) -> Iterator[Stretch]:
        """Yield the images. ValueError for a folder that may not be listed."""
        waiting: list[Stretch | _Folder] = [_Folder("", frozenset(), None)]
        while waiting:
            first = waiting.pop()
            if isinstance(first, Stretch):
                yield first
            else:
                waiting.extend(reversed(self._inside(first)))
        for count, example in list(self._unknown.values())[:MOST_ENDINGS]:
            if begins_as_image(os.path.join(self.root, example)):
                self.aside.add(example, UNNAMED, "files", count=count)
        self._unknown.clear()

    def told(self) -> list[LeftOut]:
        """Return what might be taken for images and is not, and what is taken and may be none."""
        masked = (replace(each, fate="used as images") for each in self.masked.told())
        return [*self.aside.told(), *masked]

    def _inside(self, folder: _Folder) -> list[Stretch | _Folder]:
        """Return the images and folders in a folder, as their paths are sorted."""
        below, why = folder.below, folder.why
        here = os.path.join(self.root, below)
        status = os.stat(here)
        identity = (status.st_dev, status.st_ino)
        if identity in folder.above:  # a symlink to a folder it lies in
            self.looked[below] = Mark(circle(status))
            return []
        try:
            seen = look_into(here)
        except PermissionError:
            if why is None:
                raise ValueError(
                    f"data.root: {here} may not be listed; make it readable, or give its name a"
                    " leading dot to leave it out"
                ) from None
            self.looked[below] = Mark(UNREADABLE)
            return []
        self.looked[below] = seen.mark
        names = {*seen.files, *seen.folders, *seen.special}
        if why is None:
            self._note_hidden(seen, below)
            if below and made_by_us(names):
                why = OWN
        self.others += len(seen.special) * (why is None)
        inside: list[tuple[str, _Folder]] = []
        zarr: list[str] = []
        for name in seen.folders:
            if not name.lower().endswith(ZARR):
                why_there = why or no_images_in(name, names)
                there = _Folder(f"{below}{name}/", folder.above | {identity}, why_there)
                inside.append((f"{name}/", there))
            elif why is not None or not self.huge:
                self.aside.add(below + name, why or IN_WINDOWS.format(ZARR), "folders")
            else:
                zarr.append(name)
        images = self._images(seen, below, why)
        if len(images.names) < len(seen.files):
            self.looked[below] = replace(seen.mark, dates=())
        for name in zarr:
            images = _with_folder(images, below, name, here)
        return _merged(images, sorted(inside, key=itemgetter(0)))

    def _images(self, seen: Seen, below: str, why: str | None) -> Stretch:
        """Return the files that are images; count the others."""
        known, kept = self._known, []
        if why is None and self._all_images(seen.files):
            return self._stretch(below, seen.files, seen.values)
        for at, name in enumerate(seen.files):
            lower = name.lower()
            dot = lower.rfind(".")
            suffix = lower[dot:] if dot >= 0 else ""
            if suffix in known and why is None:
                if name in DRAWN or "dry_run" in name:
                    missing = bool(seen.values[at, SIZE] < 0)
                    if drawn_by_us(name, os.path.join(self.root, below, name), missing):
                        self.aside.add(below + name, OWN)
                        continue
                if suffix in self._without:
                    self.aside.add(below + name, self._without[suffix], "files")
                    continue
                kept.append(at)  # a broken symlink is an image that cannot be read
            else:
                self._note_other(name, below, suffix, why)
        return self._stretch(below, [seen.files[at] for at in kept], seen.values[kept])

    def _stretch(self, below: str, names: list[str], values: NDArray[np.int64]) -> Stretch:
        if (found := masks_by_name(names)) is not None:
            self.masked.add(below + found[1], MASKED, count=found[0])
        return Stretch(below, names, values)

    def _all_images(self, names: Sequence[str]) -> bool:
        """Tell at a glance whether all files of a folder are images; False where it takes more."""
        ends = ends_of(names)
        if not ends <= self._known or not ends.isdisjoint(self._without):
            return False
        return DRAWN.isdisjoint(names) and "dry_run" not in "/".join(names)

    def _note_other(self, name: str, below: str, suffix: str, why: str | None) -> None:
        """Count a file that is not used."""
        if suffix in self._known:
            self.aside.add(below + name, why or OWN)
            return
        self.others += why is None
        if why is None and name.lower().endswith(UNREAD):
            unread = _suffix(name)
            said_so = IN_WINDOWS if unread in HUGE else NOT_READ
            self.aside.add(below + name, said_so.format(unread), "files")
        elif why is None:
            count, first = self._unknown.get(suffix, (0, below + name))
            self._unknown[suffix] = count + 1, first

    def _note_hidden(self, seen: Seen, below: str) -> None:
        for name in seen.hidden_folders:
            if name.lower() not in HIDDEN_LEAVINGS and not name.endswith(".partial"):
                self.aside.add(f"{below}{name}/", "hidden, not looked into", "hidden folders")
        for name in seen.hidden_files:
            if name.lower().endswith(SUFFIXES):
                mac = name.startswith("._")
                self.aside.add(below + name, "left by another program" if mac else "hidden")


def _with_folder(run: Stretch, below: str, name: str, here: str) -> Stretch:
    """Add a folder that is an image."""
    status = os.stat(os.path.join(here, name))
    at = bisect(run.names, name)
    found = [each & MASK for each in attrgetter(*FIELDS[1:])(status)]
    names = [*run.names[:at], name, *run.names[at:]]
    return Stretch(below, names, np.insert(run.values, at, found, 0))


def _merged(run: Stretch, folders: Sequence[tuple[str, _Folder]]) -> list[Stretch | _Folder]:
    """Put folders between the images, so that all paths come in their order.

    A path below the folder ``a`` begins with ``a/``, so that is where ``a`` stands among the names.
    """
    found: list[Stretch | _Folder] = []
    begin = 0
    for key, folder in folders:
        end = bisect(run.names, key, begin)
        if end > begin:
            part = run.values[begin:end]
            found.append(Stretch(run.below, run.names[begin:end], part))
        found.append(folder)
        begin = end
    if begin == 0:
        return [*found, run] if run.names else found
    if begin < len(run.names):
        found.append(Stretch(run.below, run.names[begin:], run.values[begin:]))
    return found


def find_images(root: str, *, most: int | None = None, huge: bool = False) -> Found:
    """Find all image files below ``root``, and count what else there is.

    ``most``: stop where so many are found, and return no more. ``huge``: slides and folders of Zarr
    are images too. Raises ``ValueError`` for a folder
    that may not be listed.
    """
    walk, images = Walk(root, huge=huge), list[ImageFile]()
    for run in walk.runs():
        sizes, numbers, devices = (run.values[:, at].tolist() for at in (SIZE, NUMBER, DEVICE))
        images += [
            ImageFile(run.below + name, max(size, 0), None if size < 0 else (device, number))
            for name, size, number, device in zip(run.names, sizes, numbers, devices, strict=True)
        ]
        if most is not None and len(images) >= most:
            break
    images, computed = _without_computed(images, walk.aside)
    left = [*walk.told(), *maybe_masks(file.path for file in images)]
    return Found(images[:most], walk.others + computed, left)


def _without_computed(images: list[ImageFile], aside: Aside) -> tuple[list[ImageFile], int]:
    """Keep the pictures or the arrays, where both are there, and count the others that go."""
    ends = np.array([file.path.lower().endswith(ARRAYS) for file in images], bool)
    rows, gone = arrays_or_pictures(ends, lambda at: images[at].path, aside)
    return (images if rows is None else [images[at] for at in rows.tolist()]), gone


def _suffix(name: str, among: Sequence[str] = UNREAD) -> str:
    return next(end for end in sorted(among, key=len, reverse=True) if name.lower().endswith(end))
