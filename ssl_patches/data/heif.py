"""Read HEIC, the photographs of telephones, by pillow-heif (the extra ``[heic]``).

The picture is as the file shows it: libheif turns it, so an orientation in its EXIF is not applied
again; transparency is laid on white. Ten bits are read as eight, and refused where
``data.value_range`` is stated. Nothing is registered with Pillow, whose list of formats stays ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from ssl_patches.data.arrays import check_picture_channels
from ssl_patches.data.opening import check_extent
from ssl_patches.data.stored import Stored

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class HeicReader:
    """Read HEIC files, see above."""

    suffixes = (".heic", ".heif", ".hif")
    library, extra = "pillow_heif", "heic"

    def is_there(self) -> bool:
        """Tell whether pillow-heif is installed."""
        return importlib.util.find_spec(self.library) is not None

    def begins(self, begin: bytes) -> bool:
        """Tell whether a file that begins so is HEIF, and not AVIF, which Pillow reads."""
        box = begin[: min(int.from_bytes(begin[:4], "big"), 64)]
        return begin[4:8] == b"ftyp" and begin[8:12] in BRANDS and b"avif" not in box

    def extent(self, file: IO[bytes], channels: int | None) -> tuple[int, int]:
        """Return width and height of an open file. ValueError for damage and other ``channels``."""
        width, height = _opened(file, channels).size
        return int(width), int(height)

    def channels_of(self, file: IO[bytes]) -> int:
        """Return how many channels an open file holds. ValueError for damage."""
        return 1 if _opened(file, None).mode.startswith(("L", "I")) else 3

    def read_samples(
        self, file: IO[bytes], *, channels: int, value_range: Sequence[float] | None
    ) -> Stored:
        """Read the pixels of an open file. ValueError for damage and for what is not read."""
        opened = _opened(file, channels)
        if value_range and opened.info.get("bit_depth", 8) > 8:
            raise ValueError(
                "is HEIC of more than 8 bits, which is read with 8: data.value_range cannot be"
                " applied to what is stored; store TIFF, PNG or npy"
            )
        try:
            pixels = np.asarray(opened.to_pillow())
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if len(planes) in (2, 4):
            return Stored(values=planes[:-1], alpha=planes[-1].astype(np.float32) / 255)
        return Stored(values=planes)


def _opened(file: IO[bytes], channels: int | None) -> Any:
    """Open a file without decoding it; bounded. ValueError for damage and other ``channels``."""
    import pillow_heif

    if channels is not None:
        check_picture_channels(channels)
    try:
        found = pillow_heif.open_heif(file, convert_hdr_to_8bit=True)
    except (RuntimeError, EOFError) as error:
        raise ValueError(str(error)) from error
    check_extent(*found.size)
    return found
