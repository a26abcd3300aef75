"""Tell what the header of an image file says: format, mode, channels, and frames or pages."""

from __future__ import annotations

import os
from dataclasses import dataclass

from PIL import Image

from ssl_patches.data import arrays
from ssl_patches.data.decode import DAMAGE

MOST_PAGES = 64  # that are looked at one by one


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
        if not path.lower().endswith(arrays.NPY):
            try:
                with Image.open(path) as image:
                    pages = _pages(image)
                    if pages > 1 and image.format == "TIFF":
                        return Traits("TIFF", "array", pages)
                    return Traits(
                        image.format or kind,
                        image.mode,
                        len(image.getbands()) - image.has_transparency_data,
                        pages,
                    )
            except Image.UnidentifiedImageError:
                if not path.lower().endswith(arrays.TIFF):
                    raise
        shape = arrays.shape_of(path)
        return Traits(kind, "array", 1 if len(shape) == 2 else min(shape[0], shape[-1]))
    except (*DAMAGE, ImportError):
        return Traits(kind, "unreadable")


def _pages(image: Image.Image) -> int:
    """Count the pages or frames that are as large as the first; thumbnails are none."""
    count, size = getattr(image, "n_frames", 1), image.size
    if count < 2 or image.format != "TIFF":
        return count
    alike = 0
    for at in range(min(count, MOST_PAGES)):
        image.seek(at)
        alike += image.size == size
    image.seek(0)
    return alike if count <= MOST_PAGES else count
