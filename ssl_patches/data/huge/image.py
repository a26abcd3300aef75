"""Define what a huge image offers: its extents, its channels, and a part of it as stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from ssl_patches.data.damage import DAMAGE, UnreadableImage
from ssl_patches.data.stored import Stored

Extent = tuple[int, int]  # width, height in pixels
Box = tuple[int, int, int, int]  # y, x, h, w in pixels
LARGEST_SEGMENT = 256 * 2**20  # bytes that one window may make a reader decode at once
LIBRARIES = ("tifffile", "openslide", "rasterio", "zarr", "numcodecs", "imagecodecs")
"""Whose errors, of any class, mean that a file is damaged or not read."""


class HugeImage(ABC):
    """An open image of which any part can be read, without the rest of it.

    It belongs to the process that opened it. ``levels``: width and height in pixels, the full size
    first, then the smaller copies that the file holds. ``channels``: C of what ``read`` gives.
    ``block``: width and height of what the file holds in one piece: reading a part of it costs as
    much as all of it.
    """

    levels: tuple[Extent, ...]
    channels: int
    block: Extent

    @abstractmethod
    def read(self, box: Box, level: int = 0) -> Stored:
        """Return the samples (C, h, w) of a part that lies inside ``level``.

        Raises what its library raises on damage; ValueError for what is not read.
        """

    def close(self) -> None:  # noqa: B027, some readers hold nothing open
        """Close the file; nothing can be read any more."""


def check_segment(count: int, what: str) -> None:
    """Raise ValueError where one piece of a file takes more bytes than ``LARGEST_SEGMENT``."""
    if count > LARGEST_SEGMENT:
        raise ValueError(
            f"lies in pieces of {count / 2**20:,.0f} MiB ({what}), at most"
            f" {LARGEST_SEGMENT // 2**20} are decoded for a window; store it in tiles: vips"
            " tiffsave FILE NEW.tif --tile --pyramid --bigtiff --compression deflate"
        )


@contextmanager
def failures_of(path: str) -> Iterator[None]:
    """Turn what the readers' libraries raise on damage into ``UnreadableImage``."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        library = type(error).__module__.partition(".")[0] in LIBRARIES
        if not library and not isinstance(error, (*DAMAGE, RuntimeError)):
            raise
        reason = " ".join(str(error).replace(repr(path), "the file").split())
        raise UnreadableImage(path, reason or type(error).__name__) from error
