"""Find the images of a folder, the side of train and val on which each stands, and the classes that
their folders name.

* ``DIR/train`` and ``DIR/val`` (or ``DIR/test``) are the splits. Anything else below DIR is not
  used;
* otherwise (``DIR/train`` alone counts as DIR) an image is held out when
  ``int(sha256(path below DIR).hexdigest()[:8], 16) % 100 < P``, P = 20 with labels and 5 without.
  The rule looks at one path at a time, so an image never changes sides when others are added. A
  side that gets none is given one image;
* images that all lie at exactly ``CLASS/file``, in two classes or more, are labelled; every other
  nesting is unlabelled;
* a ``masks``, ``labels`` or ``annotations`` folder beside an ``images`` folder is neither a class
  nor images;
* ``.npy`` files are images where no other images are; beside images they are what somebody computed
  from them;
* folders are walked through symlinks; hidden files and folders are ignored, files that are not
  images are counted.

The trap: frames of a video, or crops of one picture, are near copies. Held out by hash they lie on
both sides; split those by folder.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from ssl_patches.data.arrays import NPY

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".npy"),
)
SPLITS = ("train", "val", "test")
MASKS = ("masks", "annotations", "labels")
HELD_OUT = {True: 20, False: 5}  # percent, with labels or without


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file found in a folder."""

    path: str  # below the root, parts joined by "/"
    bytes: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one split. ``prefix`` is what stands before CLASS in their paths."""

    files: list[ImageFile]
    prefix: str
    classes: list[str]  # empty = unlabelled
    rule: str


def find_images(root: str) -> tuple[list[ImageFile], int]:
    """Find all image files below ``root``, sorted by path, and count other visible files.

    Raises ``ValueError`` for a folder that may not be listed.
    """
    images: list[ImageFile] = []
    others = 0
    folders: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while folders:
        below, above = folders.pop()
        here = os.path.join(root, below)
        status = os.stat(here)
        identity = (status.st_dev, status.st_ino)
        if identity in above:  # a symlink to a folder it lies in
            continue
        visible = _visible(here)
        masked = any(entry.name == "images" for entry in visible)
        for entry in visible:
            if entry.is_dir():
                if not (masked and entry.name in MASKS):
                    folders.append((f"{below}{entry.name}/", above | {identity}))
            elif not entry.name.lower().endswith(SUFFIXES) or not (
                entry.is_file() or entry.is_symlink()
            ):
                others += 1
            else:  # a broken symlink is an image that cannot be read
                images.append(
                    ImageFile(below + entry.name, entry.stat().st_size if entry.is_file() else 0)
                )
    pictures = [file for file in images if not file.path.lower().endswith(NPY)]
    if pictures:
        images, others = pictures, others + len(images) - len(pictures)
    return sorted(images, key=lambda file: file.path), others


def _visible(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except PermissionError:
        raise ValueError(
            f"data.root: {folder} may not be listed; make it readable, or give its name a leading"
            " dot to leave it out"
        ) from None


def class_names(paths: list[str]) -> list[str]:
    """Return the classes of ``paths`` when each is CLASS/file and there are two or more.

    Otherwise none.
    """
    parts = [path.split("/") for path in paths]
    names = {part[0] for part in parts}
    labelled = (
        all(len(part) == 2 for part in parts) and len(names) >= 2 and not names <= set(SPLITS)
    )
    return sorted(names) if labelled else []


def place(path: str) -> int:
    """Map a path to 0..99, for holding out: uniform over paths, the same on every machine."""
    return int(hashlib.sha256(os.fsencode(path)).hexdigest()[:8], 16) % 100


def divide_numbers(count: int, split: str) -> list[int]:
    """Return the numbers of ``split`` among 0..count-1: divided 80/20 by the hash of each."""
    held = {at for at in range(count) if place(str(at)) < HELD_OUT[True]}
    if count > 1 and len(held) in (0, count):
        held ^= {min(range(count), key=lambda at: place(str(at)))}
    return [at for at in range(count) if (at in held) == (split == "val")]


def divide(files: list[ImageFile], prefix: str, split: str) -> Selection:
    """Select the files of ``split`` among those that came without a division."""
    below = {file: file.path.removeprefix(prefix) for file in files}
    classes = class_names(list(below.values()))
    percent = HELD_OUT[bool(classes)]
    held = {file for file in files if place(below[file]) < percent}
    if len(files) > 1 and len(held) in (0, len(files)):
        held ^= {min(files, key=lambda file: (place(below[file]), file.path))}
    part = [file for file in files if (file in held) == (split == "val")]
    kind = f"labelled by {len(classes)} class folders" if classes else "unlabelled"
    rule = (
        f"{kind}; no val/ or test/: held out where int(sha256(path).hexdigest()[:8], 16) % 100 <"
        f" {percent}"
    )
    return Selection(part, prefix, classes, rule)


def select(files: list[ImageFile], split: str, *, divided: bool) -> Selection:
    """Select the files of ``split``. ``divided``: there is a folder ``train``.

    Raises ``ValueError`` for a held-out class that train has not.
    """
    if not divided:
        return divide(files, "", split)
    parts = {name: [file for file in files if file.path.startswith(f"{name}/")] for name in SPLITS}
    other = next((name for name in ("val", "test") if parts[name]), None)
    if other is None:
        return divide(parts["train"], "train/", split)
    classes = class_names([file.path.removeprefix("train/") for file in parts["train"]])
    name = "train" if split == "train" else other
    own = [file.path.removeprefix(f"{name}/") for file in parts[name]]
    if not classes:
        classes = class_names(own)
    elif not all(path.count("/") == 1 for path in own):
        classes = []
    unknown = sorted({path.split("/")[0] for path in own} - set(classes)) if classes else []
    if unknown:
        raise ValueError(
            f"data.root: {other}/{unknown[0]} is a class that train/ has not ({len(unknown)} such);"
            " give train/ and val/ the same class folders"
        )
    kind = f"labelled by {len(classes)} class folders" if classes else "unlabelled"
    return Selection(parts[name], f"{name}/", classes, f"{kind}; the folders train/ and {other}/")
