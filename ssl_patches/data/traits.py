"""Tell what the header of an image file says: format, mode, channels, and frames or pages."""

from __future__ import annotations

import os
from dataclasses import dataclass

from PIL import Image

from ssl_patches.data import arrays, tiff
from ssl_patches.data.damage import DAMAGE
from ssl_patches.data.formats import ANY_CHANNELS, reader_for
from ssl_patches.data.opening import open_binary, open_image


@dataclass(frozen=True, slots=True)
class Traits:
    """The traits that a header states; ``mode`` is Pillow's, or "array"."""

    format: str
    mode: str
    channels: int | None = None
    pages: int = 1  # frames of an animation


def traits_of(path: str) -> Traits:
    """Read the traits of a file; one whose header cannot be read is "unreadable" (never raises)."""
    kind = os.path.splitext(path)[1].lstrip(".").upper() or "file"
    try:
        if path.lower().endswith(arrays.NPY):
            shape = arrays.npy_shape(path)
            return Traits(kind, "array", 1 if len(shape) == 2 else min(shape[0], shape[-1]))
        if (reader := reader_for(path)) is not None:
            with open_binary(path) as file:
                held = reader.channels_of(file)
            return Traits(kind, "array" if path.lower().endswith(ANY_CHANNELS) else "RGB", held)
        if path.lower().endswith(arrays.TIFF):
            with open_binary(path) as file:
                header = tiff.header_of(file)
            if len(header.pages) > 1:
                return Traits("TIFF", "array", len(header.pages))
        return _of_picture(path, kind)
    except (*DAMAGE, ImportError):
        return Traits(kind, "unreadable")


def _of_picture(path: str, kind: str) -> Traits:
    """Read the traits that Pillow states; of a TIFF that it does not know, those of its header."""
    try:
        with open_image(path) as image:
            return Traits(
                image.format or kind,
                image.mode,
                len(image.getbands()) - image.has_transparency_data,
                1 if image.format == "TIFF" else getattr(image, "n_frames", 1),
            )
    except Image.UnidentifiedImageError:
        if not path.lower().endswith(arrays.TIFF):
            raise
    with open_binary(path) as file:
        return Traits(kind, "array", tiff.header_of(file).samples)
