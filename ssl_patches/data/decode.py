"""Decode one image file into one uint8 square, or raise one error.

The square is what the exported preprocessing makes: shorter side to ``size`` (bilinear,
antialiased), centre crop. An image that already has that size keeps its pixels.

How files that are not 8-bit RGB are read:

* transparency (RGBA, LA, palette or ``tRNS``) is composited on white, the page such pictures are
  drawn for; dropping the alpha channel instead would show whatever colour the file hides under it;
* 16 bits are scaled by their range, 65535 -> 255, or by ``value_range``, never by the image's own
  extremes, so that equal values stay equal in all images (12-bit data stored in 16 bits get dark
  without ``value_range=(0, 4095)``);
* ``I`` (Pillow's 32-bit integers) is read as 16 bits and ``F`` (floats) as 0..1; values beyond have
  no known range and are refused unless one is given. npy and TIFF with other than 1 or 3 channels
  are read as arrays, see ``arrays.py``;
* CMYK and palettes become RGB, grey becomes RGB by repetition, colour becomes grey by ITU-R 601
  luma;
* the EXIF orientation is applied; of several frames the first counts.

The trap: a damaged file must never turn into a grey picture that is trained on (``truncated.py``).
What remains undetected is damage inside a JPEG whose data does not end early: libjpeg decodes it to
wrong pixels without an error.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image
from torch import Tensor
from torch.nn import functional as F

from ssl_patches.data import arrays
from ssl_patches.data.truncated import truncated_refused

DEEP = ("I", "F")
JPEG = b"\xff\xd8\xff"  # how such a file begins
# how what may state an orientation begins in it: EXIF, XMP
METADATA = (b"Exif\0\0", b"http://ns.adobe.com/xap/")
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
    """Raised for a file that is named an image and cannot be read.

    Attributes ``path`` and ``reason``.
    """

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
        reason = (
            " ".join(str(error).replace(repr(path), "the file").split()) or type(error).__name__
        )
        raise UnreadableImage(path, reason) from error


def header(
    path: str, *, channels: int = 3, value_range: Sequence[float] | None = None
) -> tuple[int, int]:
    """Return width and height in pixels as the file states them, without decoding.

    ``channels``: those that an array file must have. Raises ``UnreadableImage``.
    """
    with _reading(path):
        if arrays.is_array(path, channels=channels, value_range=value_range):
            width, height = arrays.extent_of(arrays.shape_of(path), channels=channels)
        else:
            with Image.open(path) as image:
                width, height = image.size
    if min(width, height) < 1:
        raise UnreadableImage(path, f"has no pixels ({width}x{height})")
    return width, height


def decode(
    path: str,
    *,
    channels: int,
    size: int,
    value_range: Sequence[float] | None = None,
    data: bytes | None = None,
) -> Tensor:
    """Decode the image of a file into uint8 (C, S, S), channels-last in memory.

    S is ``size``. Raises ``UnreadableImage``. ``channels``: 1 or 3, or what an array file holds.
    ``data``: the file's content, where ``path`` only names it.
    """
    if data is None and arrays.is_array(path, channels=channels, value_range=value_range):
        with _reading(path):
            return torch.from_numpy(
                arrays.square(
                    arrays.read_array(path, channels=channels), size=size, value_range=value_range
                )
            )
    with _reading(path):
        content = _read_jpeg(path) if data is None else data
        pixels = None if content is None else _decoded(content, channels, size)
        if pixels is not None:
            return _square(pixels, size)
        with (
            truncated_refused(),
            open(path, "rb") if content is None else io.BytesIO(content) as file,
            Image.open(file) as image,
        ):
            if image.format == "JPEG":
                # The decoder itself halves large pictures, but never below twice the size asked
                # for: there it gets visible.
                image.draft("L" if channels == 1 else None, (2 * size, 2 * size))
            image.load()
            turn = orientation(image)
            return square_of(
                image, channels=channels, size=size, value_range=value_range, turn=turn
            )


def square_of(
    image: Image.Image,
    *,
    channels: int,
    size: int,
    value_range: Sequence[float] | None = None,
    turn: Image.Transpose | None = None,
) -> Tensor:
    """Make uint8 (C, S, S) of a decoded picture: its central square, turned by ``turn``.

    S is ``size``. ``channels``: 1 or 3. Raises as Pillow does; ValueError for values without a
    known range.
    """
    image = _eight_bits(_central_square(image), "L" if channels == 1 else "RGB", value_range)
    if image.width != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    if turn is not None:
        image = image.transpose(turn)
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)


def _read_jpeg(path: str) -> bytes | None:
    with open(path, "rb") as file:
        return file.read() if file.peek(len(JPEG)).startswith(JPEG) else None


def _decoded(content: bytes, channels: int, size: int) -> Tensor | None:
    """Decode a JPEG into uint8 (C, H, W) where Pillow would give it as it is; None for any other.

    As it is means of full size, upright, RGB or grey.

    simplejpeg gives Pillow's pixels in half the time: Pillow's goes into the way to an array. None
    too for what it refuses, damage above all: Pillow says what is wrong.
    """
    if not content.startswith(JPEG):
        return None
    if any(name in content for name in METADATA):
        with Image.open(io.BytesIO(content)) as image:
            if orientation(image) is not None:
                return None
    try:
        height, width, kind, _ = simplejpeg.decode_jpeg_header(content)
        if kind in ("CMYK", "YCCK") or min(height, width) >= 4 * size:
            return None
        pixels = simplejpeg.decode_jpeg(content, "GRAY" if channels == 1 else "RGB")
    except ValueError:
        return None
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _square(pixels: Tensor, size: int) -> Tensor:
    """Make uint8 (C, size, size) of decoded bytes (C, H, W), as ``square_of`` does.

    At most one level of 255 away from it where it is resized.
    """
    height, width = pixels.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    part = pixels[None, :, top : top + side, left : left + side].contiguous(
        memory_format=torch.channels_last
    )
    return (
        part if side == size else F.interpolate(part, (size, size), mode="bilinear", antialias=True)
    )[0]


def _central_square(image: Image.Image) -> Image.Image:
    """Cropping first equals resizing first, up to half a pixel, and touches fewer pixels."""
    side = min(image.size)
    if image.size == (side, side):
        return image
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def orientation(image: Image.Image) -> Image.Transpose | None:
    """Return what turns the stored picture upright, or None.

    Damaged metadata beside sound pixels counts as none.
    """
    try:
        return TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return None


def _eight_bits(image: Image.Image, mode: str, value_range: Sequence[float] | None) -> Image.Image:
    """Convert any of Pillow's modes to "L" or "RGB"."""
    if image.mode in DEEP or image.mode.startswith("I;16"):
        image = Image.fromarray(
            np.rint(arrays.levels(np.asarray(image), value_range)).astype(np.uint8)
        )
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # straight to grey would skip the palette's or the ink's colour conversion
    elif image.mode in ("P", "CMYK"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)
