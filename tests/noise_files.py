"""Folders of images of noise, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ssl_patches.data.folder import FolderSource


def put(root: Path, *paths: str, side: int = 12) -> None:
    """Images of noise, each a different one."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.encode()))
        Image.fromarray(rng.integers(0, 256, (side, side + 3, 3), dtype=np.uint8)).save(root / path)


def many(pattern: str, count: int) -> list[str]:
    return [pattern.format(i) for i in range(count)]


def source(root: Path, split: str = "train", **options: object) -> FolderSource:
    return FolderSource(**{"root": str(root), "split": split, "image_size": 8, **options})


def truncate(path: Path) -> None:
    """The header stays, the last part of the pixels goes."""
    path.write_bytes(path.read_bytes()[:-40])


def put_damaged(root: Path) -> Path:
    """40 images; four fail by their header, and three by their pixels: 10, 11 and the last."""
    put(root, *many("train/{:02}.png", 36), *many("train/{:02}.jpg", 4), "val/1.png")
    (root / "train/01.jpg").write_bytes(
        bytes(np.random.default_rng(0).integers(0, 256, 900, dtype=np.uint8))
    )
    (root / "train/02.jpg").write_bytes(b"")
    (root / "train/03.png").write_text("this is not an image")
    (root / "train/04.png").unlink()
    (root / "train/04.png").symlink_to(root / "gone.png")
    put(root, "train/10.jpg", "train/11.jpg", "train/99.jpg", side=40)
    for name in ("10.jpg", "11.jpg", "99.jpg"):
        truncate(root / "train" / name)
    return root
