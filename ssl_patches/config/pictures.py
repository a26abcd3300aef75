"""Write pictures that say that this program drew them: whole or not at all, over no other's.

The mark is metadata of PNG. By it a figure is no image to train on, wherever it lies, and may be
replaced and deleted; a picture without it is somebody's.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from ssl_patches.config.atomic import replacing

MARK = {"Software": "ssl-patches"}


def has_mark(path: Path | str) -> bool:
    """Tell whether a file is a picture of this program."""
    try:
        with open(path, "rb") as file:
            return b"Software\0" + MARK["Software"].encode() in file.read(256)
    except OSError:
        return False


def save_picture(figure: Any, path: Path) -> None:
    """Write a matplotlib ``figure`` as PNG, and the folder of ``path`` where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        figure.savefig(aside, format="png", metadata=MARK)


def free_place(path: Path) -> Path:
    """Return ``path``, or the first of NAME-2, NAME-3, ... where no picture of others lies."""
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    while path.exists() and not has_mark(path):
        path = next(names)
    return path
