"""Lay out training images for trials: a fifth of each class becomes the held-out side.

    python experiments/recipes/hold_out.py DATA/cifar10/train DATA/cifar_dev

TRAIN holds one folder a class. TARGET/{train,val}/CLASS then hold hard links, every fifth name in
``val``, so that settings are chosen without a look at a test image.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

EVERY = 5


def hold_out(source: Path, target: Path) -> None:
    """Link each image of ``source`` into train or val of ``target``; the originals stay."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        for side in ("train", "val"):
            (target / side / folder.name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(sorted(folder.iterdir())):
            side = "val" if number % EVERY == EVERY - 1 else "train"
            os.link(image, target / side / folder.name / image.name)


if __name__ == "__main__":
    hold_out(Path(sys.argv[1]), Path(sys.argv[2]))
