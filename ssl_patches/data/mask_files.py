"""Find and read files of masks: the ids of the pixels of an image, as they are stored.

A palette is not applied, and an id is never interpolated. An image has one mask of its own name. A
camera's EXIF orientation turns the image alone, so such a pair is refused: store both upright.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from ssl_patches.config.keys import key_of
from ssl_patches.data import look
from ssl_patches.data.damage import DAMAGE
from ssl_patches.data.decode import DECODERS
from ssl_patches.data.files import Extent, read_headers
from ssl_patches.data.headers import is_turned
from ssl_patches.data.index.kept import remember, remembered
from ssl_patches.data.opening import open_image
from ssl_patches.data.walk import find_images

LARGEST_ID = 2**15 - 1
MOST_CLASSES = 256
"""Ids without names beyond which they cannot be classes."""
FEW_CLASSES = 32
"""Ids without names beyond which masks that count 0, 1, 2, ... number objects."""


def images_with_masks(folder: str) -> tuple[list[str], list[str], str]:
    """Return images and masks of a split in the order of their names, and a line per pair.

    ValueError where one is missing.
    """
    sides = []
    for side in ("images", "masks"):
        if not os.path.isdir(os.path.join(folder, side)):
            raise ValueError(
                f"data.root: {os.path.join(folder, side)} does not exist; masks need"
                " DIR/train/images, DIR/train/masks, DIR/test/images and DIR/test/masks"
            )
        found = find_images(os.path.join(folder, side)).images
        sides.append({str(PurePosixPath(file.path).with_suffix("")): file for file in found})
    images, masks = sides
    if alone := sorted(images.keys() ^ masks.keys()):
        side = "masks" if alone[0] in images else "images"
        raise ValueError(
            f"data.root: {os.path.join(folder, side)} has no {alone[0]}.* ({len(alone)} such); each"
            " image needs one mask of the same name"
        )
    if not images:
        raise ValueError(
            f"data.root: {os.path.join(folder, 'images')} holds no images; set data.root to another"
            " folder"
        )
    names = sorted(images)
    lines = "".join(
        f"{images[name].path}\0{images[name].bytes}\0{masks[name].bytes}\n" for name in names
    )
    image_paths = [os.path.join(folder, "images", images[name].path) for name in names]
    return image_paths, [os.path.join(folder, "masks", masks[name].path) for name in names], lines


def readable(paths: list[str]) -> list[Extent]:
    """Return (width, height) of every file. ValueError when one has no readable header."""
    found = read_headers(paths)
    extents, corrupt = found.extents, [*found.corrupt, *found.huge]
    if corrupt:
        raise ValueError(
            f"data.root: {corrupt[0][0]} cannot be read ({corrupt[0][1]}; {len(corrupt)} such);"
            " repair or remove it"
        )
    return list(extents.values())


def ids_of(path: str, *, size: int | None = None) -> Tensor:
    """Read the ids of a mask file: int16 (size, size), its central square by nearest pixel.

    ``size`` None: int16 (H, W), all of it as stored. ValueError where the file cannot be read, and
    for colours or ids beyond 0..32767.
    """
    try:
        with open_image(path) as image:
            if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
                raise ValueError(
                    f"{image.mode} pixels are colours, not class ids; store one channel of ids"
                    f" 0..{LARGEST_ID}"
                )
            ids = np.asarray(image)
    except DAMAGE as error:
        raise ValueError(f"data.root: mask {path}: {error}") from error
    if ids.min() < 0 or ids.max() > LARGEST_ID:
        raise ValueError(
            f"data.root: mask {path}: ids lie in {ids.min()}..{ids.max()}; they must be"
            f" 0..{LARGEST_ID}"
        )
    if size is not None:
        side = min(ids.shape)
        top, left = ((extent - side) // 2 for extent in ids.shape)
        # the pixel under the centre of each
        nearest = (2 * np.arange(size) + 1) * side // (2 * size)
        ids = ids[top + nearest][:, left + nearest]
    return torch.from_numpy(ids.astype(np.int16))


def found_ids(folder: str) -> set[int]:
    """Return all ids in the masks of a split; kept until one of the masks is written.

    ValueError as for ``images_with_masks`` and ``ids_of``, and where the ids number the objects of
    each image (masks of instances).
    """
    paths = images_with_masks(folder)[1]
    state = _state(paths)
    if (known := remembered(state, "ids")).keys() == {"ids"}:
        return set(map(int, known["ids"].split()))
    found = _looked_up(paths, folder)
    remember(state, "ids", {"ids": " ".join(map(str, sorted(found)))})
    return found


def _state(paths: Sequence[str]) -> str:
    """Return what is another once one of the files was written; "" where that was just now.

    As for a folder of images (``look.py``) the time of change counts, which no program sets back.
    """
    rows = []
    for path in paths:
        said = os.stat(path)
        rows.append((path, said.st_size, said.st_mtime_ns, said.st_ctime_ns, said.st_ino))
    newest = max(max(row[2:4]) for row in rows)
    return "" if newest > time.time_ns() - look.RACY else key_of(masks=rows, decoders=DECODERS)


def _looked_up(paths: Sequence[str], folder: str) -> set[int]:
    each = [set(ids_of(path).unique().tolist()) for path in paths]
    found = set().union(*each)
    counted = sum(ids == set(range(min(ids), min(ids) + len(ids))) for ids in each)
    if len(found) > MOST_CLASSES or (len(found) > FEW_CLASSES and counted > 0.9 * len(each)):
        raise ValueError(
            f"data.root: the masks of {folder} hold {len(found)} different ids, as masks that"
            " number the objects of each image do; store classes (0 where there is no object, 1"
            " where there is one), or name the ids in classes.txt"
        )
    return found


def refuse_turned(paths: Sequence[str]) -> None:
    """Raise ValueError for an image that its file says to turn: its mask would not follow."""
    for path in paths:
        if is_turned(path):
            raise ValueError(
                f"data.root: {path} states an orientation (EXIF), which turns the image and not its"
                " mask; store both upright"
            )


def check_shape(path: str, own: Extent, image: Extent) -> None:
    """Raise ValueError where a mask does not show the rectangle of its image.

    Its size may be another one, up to a rounded pixel.
    """
    if abs(own[0] * image[1] - own[1] * image[0]) > max(*own, *image):
        raise ValueError(
            f"data.root: {path} is {own[0]}x{own[1]} and its image {image[0]}x{image[1]}: a mask"
            " must have its image's proportions; store both upright and uncropped"
        )
