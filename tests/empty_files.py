"""Folders of files without content: nothing is opened to find them."""

from __future__ import annotations

from pathlib import Path

from ssl_patches.data.walk import find_images


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def names(root: Path) -> list[str]:
    return [file.path for file in find_images(str(root)).images]
