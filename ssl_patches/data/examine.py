"""Examine one image file in full: what its header says, its bytes, and what decoding it costs and
finds.

The work of one loader worker for ``doctor``; results are a line each, so memory does not grow with
the images.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ssl_patches.data import arrays
from ssl_patches.data.decode import DAMAGE, DEEP, UnreadableImage
from ssl_patches.data.files import Reading


@dataclass(frozen=True, slots=True)
class Traits:
    """The traits that a header states; ``mode`` is Pillow's, or "array"."""

    format: str
    mode: str
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """The findings of decoding one file."""

    digest: str  # sha256 of its bytes
    reason: str | None = None  # why it cannot be read
    seconds: float = 0.0  # CPU time of decoding
    # least and most stored value of a file of more than 8 bits
    values: tuple[float, float] | None = None


class Examination(Dataset[Examined]):
    """A data set whose item i is what decoding file i found, as training decodes it.

    ``size``: side in pixels of the squares.
    """

    def __init__(self, paths: list[str], *, reading: Reading, size: int) -> None:
        self.paths, self.reading, self.size = paths, reading, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Examined:
        path = self.paths[index]
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return Examined("", str(error))
        values = stored_values(path, self.reading)
        began = time.process_time()
        try:
            self.reading.square(path, self.size)
        except UnreadableImage as error:
            return Examined(digest, error.reason, values=values)
        return Examined(digest, None, time.process_time() - began, values)


def traits_of(path: str) -> Traits:
    """Read the traits of a file; one whose header cannot be read is "unreadable" (never raises)."""
    kind = os.path.splitext(path)[1].lstrip(".").upper() or "file"
    try:
        if not path.lower().endswith(arrays.NPY):
            try:
                with Image.open(path) as image:
                    return Traits(
                        image.format or kind,
                        image.mode,
                        len(image.getbands()) - image.has_transparency_data,
                    )
            except Image.UnidentifiedImageError:
                if not path.lower().endswith(arrays.TIFF):
                    raise
        shape = arrays.shape_of(path)
        return Traits(kind, "array", 1 if len(shape) == 2 else min(shape[0], shape[-1]))
    except (*DAMAGE, ImportError):
        return Traits(kind, "unreadable")


def stored_values(path: str, reading: Reading) -> tuple[float, float] | None:
    """Return least and most value in a file of more than 8 bits.

    None for others, and where it cannot be read.
    """
    try:
        if arrays.is_array(path, channels=reading.channels, value_range=reading.value_range):
            values = arrays.read_array(path, channels=reading.channels)
        else:
            with Image.open(path) as image:
                if image.mode not in DEEP and not image.mode.startswith("I;16"):
                    return None
                values = np.asarray(image)
        return None if values.dtype == np.uint8 else (float(values.min()), float(values.max()))
    except DAMAGE:
        return None
