"""Walk through a folder: which files are its images, and which are not, with the reason.

What is no image of the user's is counted and told, never taken:

* what this program wrote: runs, exports, caches, ``dry_run.png``, figures (they carry a mark);
* what other programs leave: thumbnails (``@eaDir``), ``__MACOSX``, ``._x.jpg``, bins;
* hidden files and folders. Hidden folders are not looked into;
* ``masks``, ``labels`` or ``annotations`` beside a folder ``images``; beside other images they are
  used, and told where their files are called like those;
* formats that are not read (raw files of cameras), or not without a library (``.dcm``);
* ``.npy`` and ``.npz`` files beside images: what somebody computed from them. Where pictures are
  the few (one in ten of those files, or one), the arrays are the images.

Folders are walked through symlinks, and a broken symlink is an image that cannot be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ssl_patches.config.run_dir import CONFIG, LAST
from ssl_patches.data.arrays import NPY
from ssl_patches.data.formats import READERS, unreadable_suffixes

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".npy"),
    *(suffix for reader in READERS for suffix in reader.suffixes),  # DICOM, HEIC, npz
)
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide")
BIG_TIFF, ZARR = (".btf", ".tf8"), ".zarr"  # the latter is a folder
HUGE = (*SLIDES, *BIG_TIFF)
"""What only ``data=windows`` reads, beside ``SUFFIXES``."""
UNREAD = (
    *HUGE,
    *(".jxl", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw"),
    *(".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f", ".raw", ".3fr", ".erf", ".iiq", ".kdc"),
    *(".psd", ".psb", ".xcf", ".svg", ".svgz", ".eps", ".ai", ".ico", ".icns", ".dds", ".exr"),
    *(".hdr", ".pfm", ".pcx", ".sgi", ".ras", ".xbm", ".xpm", ".wmf", ".emf", ".djvu", ".mng"),
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mrc"),
    *(".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".vsi"),
    *(".ims", ".stk", ".dm3", ".dm4", ".fits", ".fit", ".fts", ".ecw", ".sid", ".jpx", ".j2k"),
    *(".j2c", ".jpf", ".jls", ".webm", ".mp4", ".mov", ".avi", ".mkv", ".m4v", ".wmv", ".mpg"),
    *(".h5", ".hdf5", ".tfrecord"),
)
MASKS = ("masks", "annotations", "labels")
LEAVINGS = {
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "lost+found", "__pycache__"),
    *("system volume information", "#snapshot", "@recycle", "@tmp", "thumbnails.db"),
}
HIDDEN_LEAVINGS = {
    *(".ipynb_checkpoints", ".git", ".hg", ".svn", ".dvc", ".idea", ".vscode", ".cache"),
    *(".thumbnails", ".trashes", ".trash", ".spotlight-v100", ".fseventsd", ".appledouble"),
    *(".temporaryitems", ".documentrevisions-v100", ".snapshot", ".snapshots", ".zfs", ".venv"),
    *(".picasaoriginals", ".comments", ".floors", ".pytest_cache", ".mypy_cache", ".ruff_cache"),
}
NOT_READ = "{} is no format that is read here"
ARRAYS = (*NPY, ".npz")
IN_WINDOWS = "{} is a huge image, which data=windows reads"
OWN = "written by ssl-patches"
OWN_PICTURE = re.compile(r"dry_run(-\d+)?\.png")
DRAWN = {"segmentation.png", "health.png", "neighbours.png", "patches.png"}
PICTURE_MARK = {"Software": "ssl-patches"}
"""What a figure of ours says about itself, as metadata of PNG: it is nobody's image."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file found in a folder.

    ``file``: device and number of the file, equal for two names of one file; None: not known.
    """

    path: str  # below the root, parts joined by "/"
    bytes: int
    file: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Images, or what may be some, that are not used as the others are, and why."""

    count: int
    what: str  # "images", "files", "hidden folders"
    example: str  # the first of them
    why: str
    fate: str = "not used"

    def __str__(self) -> str:
        some = self.example if self.count == 1 else f"{self.example}, ..."
        what = self.what.removesuffix("s") if self.count == 1 else self.what
        return f"{self.count:,} {what} ({some}) {self.fate}: {self.why}"


@dataclass(frozen=True)
class Found:
    """The files below a folder.

    ``images`` are sorted by path. ``others``: how many visible files are no images. ``left``: what
    might be taken for images and is not.
    """

    images: list[ImageFile]
    others: int
    left: list[LeftOut]


class _Aside:
    """Collects paths by the reason for which they are not used."""

    def __init__(self) -> None:
        self.paths: dict[tuple[str, str], list[str]] = {}

    def add(self, path: str, why: str, what: str = "images") -> None:
        self.paths.setdefault((what, why), []).append(path)

    def told(self) -> list[LeftOut]:
        return [
            LeftOut(len(paths), what, min(paths), why) for (what, why), paths in self.paths.items()
        ]


def find_images(root: str, *, most: int | None = None, huge: bool = False) -> Found:
    """Find all image files below ``root``, and count what else there is.

    ``most``: stop where so many are found, and return no more. ``huge``: slides and folders of Zarr
    are images too. Raises ``ValueError`` for a folder
    that may not be listed.
    """
    images: list[ImageFile] = []
    others, aside, without = 0, _Aside(), unreadable_suffixes()
    known = (*SUFFIXES, *HUGE) if huge else SUFFIXES
    folders: list[tuple[str, frozenset[tuple[int, int]], str | None]] = [("", frozenset(), None)]
    while folders and (most is None or len(images) < most):
        below, above, why = folders.pop()
        here = os.path.join(root, below)
        status = os.stat(here)
        identity = (status.st_dev, status.st_ino)
        if identity in above:  # a symlink to a folder it lies in
            continue
        visible = _visible(here, below, aside, given_up=why)
        names = {entry.name for entry in visible}
        if why is None and below and _is_ours(names):
            why = OWN
        for entry in visible:
            path = below + entry.name
            if entry.name.lower().endswith(ZARR) and entry.is_dir():
                if why is not None or not huge:
                    aside.add(path, why or IN_WINDOWS.format(ZARR), "folders")
                else:
                    images.append(_image_file(entry, path, folder=True))
            elif entry.is_dir():
                inside = why or _no_images_in(entry.name, names)
                folders.append((f"{path}/", above | {identity}, inside))
            elif not (entry.is_file() or entry.is_symlink()):
                others += why is None
            elif not entry.name.lower().endswith(known):
                others += why is None
                if why is None and entry.name.lower().endswith(UNREAD):
                    suffix = _suffix(entry.name)
                    unread = IN_WINDOWS if suffix in HUGE else NOT_READ
                    aside.add(path, unread.format(suffix), "files")
            elif why is not None or _drawn_by_us(entry):
                aside.add(path, why or OWN)
            elif without and entry.name.lower().endswith(tuple(without)):
                aside.add(path, without[_suffix(entry.name, tuple(without))], "files")
            else:  # a broken symlink is an image that cannot be read
                images.append(_image_file(entry, path))
    images, computed = _without_computed(images, aside)
    left = [*aside.told(), *_maybe_masks(images)]
    return Found(sorted(images, key=lambda file: file.path)[:most], others + computed, left)


def _visible(
    folder: str, below: str, aside: _Aside, *, given_up: str | None
) -> list[os.DirEntry[str]]:
    """List a folder without what is hidden, which is noted where it may be images.

    ``given_up``: why nothing in the folder is used; then it need not be readable.
    """
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except PermissionError:
        if given_up is not None:
            return []
        raise ValueError(
            f"data.root: {folder} may not be listed; make it readable, or give its name a leading"
            " dot to leave it out"
        ) from None
    for entry in found:
        if given_up is None and entry.name.startswith("."):
            _note_hidden(entry, below, aside)
    return [entry for entry in found if not entry.name.startswith(".")]


def _note_hidden(entry: os.DirEntry[str], below: str, aside: _Aside) -> None:
    if entry.is_dir():
        if entry.name.lower() not in HIDDEN_LEAVINGS and not entry.name.endswith(".partial"):
            aside.add(f"{below}{entry.name}/", "hidden, not looked into", "hidden folders")
    elif entry.name.lower().endswith(SUFFIXES):
        mac = entry.name.startswith("._")
        aside.add(below + entry.name, "left by another program" if mac else "hidden")


def _is_ours(names: set[str]) -> bool:
    """Tell by what lies in a folder whether this program made it: a run, an export, a cache."""
    return (
        {CONFIG, LAST.parts[0]} <= names
        or "ssl_patches.json" in names
        or {"about.json", "images.npy"} <= names
    )


def _no_images_in(name: str, beside: set[str]) -> str | None:
    """Say why a folder ``name`` holds no images; None where it may."""
    if name.lower() in LEAVINGS:
        return "left by another program"
    if name.lower() in MASKS and any(other.lower() == "images" for other in beside):
        return f"{name}/ beside images/ holds masks; data=camvid reads pairs"
    return None


def _drawn_by_us(entry: os.DirEntry[str]) -> bool:
    """Tell whether a PNG is a figure of this program: by its name and the mark in it."""
    if OWN_PICTURE.fullmatch(entry.name):
        return True
    if entry.name not in DRAWN or not entry.is_file():
        return False
    try:
        with open(entry.path, "rb") as file:
            return b"Software\0" + PICTURE_MARK["Software"].encode() in file.read(256)
    except OSError:
        return False


def _image_file(entry: os.DirEntry[str], path: str, *, folder: bool = False) -> ImageFile:
    if not entry.is_file() and not folder:
        return ImageFile(path, 0)
    status = entry.stat()
    return ImageFile(path, status.st_size, (status.st_dev, status.st_ino))


def _without_computed(images: list[ImageFile], aside: _Aside) -> tuple[list[ImageFile], int]:
    """Keep the pictures or the arrays, where both are there, and count the others that go."""
    arrays = [file for file in images if file.path.lower().endswith(ARRAYS)]
    pictures = [file for file in images if not file.path.lower().endswith(ARRAYS)]
    if not arrays or not pictures:
        return images, 0
    if len(pictures) <= max(1, len(arrays) // 10) and len(arrays) > 2 * len(pictures):
        for file in pictures:
            aside.add(
                file.path, f"pictures beside {len(arrays):,} .npy files, which are the images"
            )
        return arrays, len(pictures)
    for file in arrays:
        aside.add(file.path, "made from the pictures beside them, as it seems", ".npy files")
    return pictures, len(arrays)


def _maybe_masks(images: Sequence[ImageFile]) -> list[LeftOut]:
    """Say where a folder is called like masks and its files are called like images elsewhere."""
    inside: dict[str, list[str]] = {}
    for file in images:
        folder = file.path.rpartition("/")[0]
        if folder.rpartition("/")[2].lower() in (*MASKS, "mask"):
            inside.setdefault(folder, []).append(file.path)
    if not inside:
        return []
    those = {path for paths in inside.values() for path in paths}
    others = {_stem(file.path) for file in images if file.path not in those}
    why = "called like images elsewhere; if they are masks, give the folder a leading dot"
    return [
        LeftOut(len(paths), "images", min(paths), why, "used as images")
        for paths in inside.values()
        if 10 * sum(_stem(path) in others for path in paths) >= 9 * len(paths)
    ]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _suffix(name: str, among: Sequence[str] = UNREAD) -> str:
    return next(end for end in sorted(among, key=len, reverse=True) if name.lower().endswith(end))


def said(left: Iterable[object], *, most: int = 12) -> list[str]:
    """Return a line for each, and how many more there are beyond ``most``."""
    lines = [str(each) for each in left]
    more = [f"and {len(lines) - most} more remarks; `ssl-patches doctor` has them"]
    return lines[:most] + more * (len(lines) > most)
