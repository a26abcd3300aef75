"""Tell damaged and foreign image files by one error, whatever the reader of a format raised."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from ssl_patches.data.opening import TooLarge

OPENED = re.compile(r"\s*<_io\.\w+[^>]*>")  # how Python names an open file
# What Pillow's readers raise on damaged files (its fuzzers know these; there is no common base).
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnreadableImage(Exception):
    """Raised for a file that is named an image and cannot be read.

    Attributes ``path`` and ``reason``.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class HugeImageFile(UnreadableImage):
    """Raised for a file that is not damaged, but larger than is decoded whole."""


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn what readers raise inside on damage into one error that names the file.

    Raises ``UnreadableImage``; ``HugeImageFile`` where the file is sound, but too large.
    """
    try:
        yield
    except TooLarge as error:
        raise HugeImageFile(path, str(error)) from error
    except DAMAGE as error:
        said = OPENED.sub("", str(error).replace(repr(path), "the file"))
        raise UnreadableImage(path, " ".join(said.split()) or type(error).__name__) from error
