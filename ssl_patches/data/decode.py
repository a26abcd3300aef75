"""One image file -> one uint8 square, or one error.

The square is what the exported preprocessing makes: shorter side to ``size`` (bilinear, antialiased), centre crop. An
image that already has that size keeps its pixels.

How files that are not 8-bit RGB are read:

* transparency (RGBA, LA, palette or ``tRNS``) is composited on white, the page such pictures are drawn for; dropping
  the alpha channel instead would show whatever colour the file hides under it;
* 16 bits are scaled by their range, 65535 -> 255, never by the image's own extremes, so that equal values stay equal
  in all images (12-bit data stored in 16 bits get dark: rescale such files once, before training);
* ``I`` (Pillow's 32-bit integers) is read as 16 bits and ``F`` (floats) as 0..1; values beyond have no known range and
  are refused;
* CMYK and palettes become RGB, grey becomes RGB by repetition, colour becomes grey by ITU-R 601 luma;
* the EXIF orientation is applied; of several frames the first counts.

The trap: a damaged file must never turn into a grey picture that is trained on. Pillow does that when any import in
the process sets ``ImageFile.LOAD_TRUNCATED_IMAGES``, so it is unset here. What remains undetected is damage inside a
JPEG whose data does not end early: libjpeg decodes it to wrong pixels without an error.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile
from torch import Tensor

DEEP = ("I", "F")
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
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
    """A file that names itself an image and cannot be read. Attributes ``path`` and ``reason``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        reason = " ".join(str(error).replace(repr(path), "the file").split()) or type(error).__name__
        raise UnreadableImage(path, reason) from error


def header(path: str) -> tuple[int, int]:
    """Width and height as the file states them, without decoding pixels. Raises ``UnreadableImage``."""
    with _reading(path), Image.open(path) as image:
        width, height = image.size
    if min(width, height) < 1:
        raise UnreadableImage(path, f"has no pixels ({width}x{height})")
    return width, height


def decode(path: str, *, channels: int, size: int) -> Tensor:
    """The image of a file as uint8 (channels, size, size), channels 1 or 3. Raises ``UnreadableImage``."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # see the docstring above
    with _reading(path), Image.open(path) as image:
        if image.format == "JPEG":
            # The decoder itself halves large pictures, but never below twice the size asked for: there it gets visible.
            image.draft("L" if channels == 1 else None, (2 * size, 2 * size))
        image.load()
        turn = _orientation(image)
        image = _eight_bits(_central_square(image), "L" if channels == 1 else "RGB")
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    if turn is not None:
        image = image.transpose(turn)
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def _central_square(image: Image.Image) -> Image.Image:
    """Cropping first equals resizing first, up to half a pixel, and touches fewer pixels."""
    side = min(image.size)
    if image.size == (side, side):
        return image
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """What turns the stored picture upright. Damaged metadata beside sound pixels counts as none."""
    try:
        return TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return None


def _eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """Any of Pillow's modes -> "L" or "RGB"."""
    if image.mode in DEEP or image.mode.startswith("I;16"):
        image = Image.fromarray(_scaled(np.asarray(image)))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    elif image.mode in ("P", "CMYK"):  # straight to grey would skip the palette's or the ink's colour conversion
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Integers 0..65535 or floats 0..1 -> uint8, rounded. Raises ``ValueError`` for values beyond."""
    top = 1.0 if values.dtype.kind == "f" else 65535
    if not (values.min() >= 0 and values.max() <= top):  # so written that NaN is refused too
        raise ValueError(f"pixels {values.min()}..{values.max()} lie outside 0..{top}: store them as 8 or 16 bits")
    return np.rint(values * (255.0 / top)).astype(np.uint8)
