"""Tell what looks like an image and is none of the user's: ours, other programs', masks."""

from __future__ import annotations

import re

from ssl_patches.config.pictures import has_mark
from ssl_patches.config.run_dir import CONFIG, LAST

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
OWN = "written by ssl-patches"
UNNAMED = "begin as images do, and their names do not end so; rename them (to .jpg, .png, ...)"
BEGINS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(avi|hei|mif|msf)"
    rb"|BM....\0\0\0\0|\x93NUMPY|.{128}DICM",
    re.DOTALL,
)
"""How files of images begin, whatever they are called."""
MASK_NAMES = {
    *(*MASKS, "mask", "label", "annotation", "gt", "gts", "groundtruth", "ground_truth", "seg"),
    *(
        "segs",
        "segmentation",
        "segmentations",
        "segmentationclass",
        "segmentationobject",
        "labelids",
    ),
}
"""Folders that may hold masks of images elsewhere, which are used as images and told."""
OWN_PICTURE = re.compile(r"dry_run(-\d+)?\.png")
DRAWN = {
    f"{name}{number}.png"
    for name in ("segmentation", "label_efficiency", "health", "neighbours", "patches")
    for number in ("", *(f"-{at}" for at in range(2, 10)))
}
"""Names of figures, which lie among images only where they were told to."""


def made_by_us(names: set[str]) -> bool:
    """Tell by what lies in a folder whether this program made it: a run, an export, a cache."""
    return (
        {CONFIG, LAST.parts[0]} <= names
        or "ssl_patches.json" in names
        or {"about.json", "images.npy"} <= names
    )


def no_images_in(name: str, beside: set[str]) -> str | None:
    """Say why a folder ``name`` holds no images; None where it may."""
    if name.lower() in LEAVINGS:
        return "left by another program"
    if name.lower() in MASKS and any(other.lower() == "images" for other in beside):
        return f"{name}/ beside images/ holds masks; data=camvid reads pairs"
    return None


def drawn_by_us(name: str, path: str, missing: bool) -> bool:
    """Tell whether a PNG is a figure of this program: by its name and the mark in it."""
    if OWN_PICTURE.fullmatch(name):
        return True
    return name in DRAWN and not missing and has_mark(path)


def begins_as_image(path: str) -> bool:
    """Tell whether an ordinary file begins as those of images do."""
    try:
        with open(path, "rb") as file:
            return BEGINS.match(file.read(132)) is not None
    except OSError:
        return False
