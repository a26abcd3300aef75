"""Decode one image file into one uint8 square, or raise one error.

The square is what the exported preprocessing makes: shorter side to ``size`` (bilinear,
antialiased), centre crop. An image that already has that size keeps its pixels. The rules are those
of docs/data.md, the same for a file, for the bytes of one, and for a picture of Pillow's:

* 8-bit pictures are read by Pillow: transparency (RGBA, LA, palette or ``tRNS``) is composited on
  white, the page such pictures are drawn for; CMYK and palettes become RGB, grey becomes RGB by
  repetition, colour becomes grey by ITU-R 601 luma;
* more than 8 bits are samples (``stored.py``): scaled once, by ``value_range`` or their own range,
  never by the image's own extremes. Where they are had from: ``tiff.py``, ``deep.py``, npy, and
  the readers of ``formats.py`` (DICOM, HEIC, npz);
* the orientation that a file states (EXIF, TIFF) is applied here and nowhere else; of an animation
  the first frame counts.

The trap: a damaged file must never turn into a grey picture that is trained on (``truncated.py``).
What remains undetected is damage inside a JPEG whose data does not end early: libjpeg decodes it to
wrong pixels without an error.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import IO, Any

import numpy as np
import PIL
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ssl_patches.config.outside import check_regular
from ssl_patches.data import arrays, tiff
from ssl_patches.data.damage import reading
from ssl_patches.data.deep import samples_of
from ssl_patches.data.formats import reader_in
from ssl_patches.data.headers import orientation
from ssl_patches.data.opening import LARGEST_BYTES, check_extent, open_binary, open_image
from ssl_patches.data.stored import Stored, resized, square
from ssl_patches.data.truncated import truncated_refused

RULES = 2  # of how stored values become pixels; raise it when pixels change
OPTIONAL = (
    *("tifffile", "imagecodecs", "pydicom", "pylibjpeg", "pillow-heif", "openslide-python"),
    *("rasterio", "zarr"),
)
"""Packages that read images where they are installed."""


def _versions() -> str:
    """Return the versions of the libraries that read images."""
    found = []
    for name in OPTIONAL:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return " ".join([f"{RULES} {PIL.__version__} {simplejpeg.__version__}", *found])


DECODERS = _versions()
"""What decides pixels beside the file: part of the key of everything that is kept."""
JPEG = b"\xff\xd8\xff"  # how such a file begins
# how what may state an orientation begins in it: EXIF, XMP
METADATA = (b"Exif\0\0", b"http://ns.adobe.com/xap/")


def decode(
    path: str,
    *,
    channels: int,
    size: int,
    value_range: Sequence[float] | None = None,
    data: bytes | None = None,
) -> Tensor:
    """Decode the image of a file into uint8 (C, S, S).

    S is ``size``. Raises ``UnreadableImage``. ``channels``: 1 or 3, or what the samples hold.
    ``data``: the file's content, where ``path`` only names it.
    """
    with reading(path):
        named = data is None and path.lower().endswith(arrays.NPY)
        if named or (data is not None and data.startswith(arrays.NPY_BEGINS)):
            stored = Stored(values=arrays.read_npy(path, channels=channels, data=data))
            return _pixels(stored, channels=channels, size=size, value_range=value_range)
        content = _read_jpeg(path) if data is None else data
        pixels = None if content is None else _decoded(content, channels, size)
        if pixels is not None:
            return _square(pixels, size)
        with (
            truncated_refused(),
            open_binary(path) if content is None else io.BytesIO(content) as file,
        ):
            return _picture(file, channels=channels, size=size, value_range=value_range)


def _picture(
    file: IO[bytes], *, channels: int, size: int, value_range: Sequence[float] | None
) -> Tensor:
    """Return the square of an open file, of any kind but npy."""
    if (reader := reader_in(file)) is not None:
        stored = reader.read_samples(file, channels=channels, value_range=value_range)
        return _pixels(stored, channels=channels, size=size, value_range=value_range)
    if tiff.is_tiff(file.read(4)):
        found = tiff.header_of(file)
        found.check(channels)
        if tiff.by_tifffile(found, channels):
            stored = tiff.read_samples(file, found, channels=channels, value_range=value_range)
            return _pixels(stored, channels=channels, size=size, value_range=value_range)
        if not found.is_picture and value_range is not None:
            raise ValueError(
                "is TIFF of more than 8 bits, whose stored samples tifffile reads; install it:"
                " pip install 'ssl-patches[tiff]'"
            )
    else:
        arrays.check_picture_channels(channels)
    with open_image(file) as image:
        if image.format == "JPEG":
            # The decoder itself halves large pictures, but never below twice the size asked
            # for: there it gets visible.
            image.draft("L" if channels == 1 else None, (2 * size, 2 * size))
        content = _content(image, file)
        return square_of(
            image, channels=channels, size=size, value_range=value_range, content=content
        )


def _content(image: Image.Image, file: IO[bytes]) -> bytes | None:
    """Return the content of a file that may hold more than Pillow gives."""
    if image.format not in ("PPM", "JPEG2000", "AVIF"):
        return None
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    return content


def deep_samples(path: str, *, channels: int) -> NDArray[Any] | None:
    """Return the values (C, H, W) of a file of more than 8 bits as stored, None for any other.

    Raises ``UnreadableImage``, also for ``channels`` that it has not.
    """
    with reading(path):
        values = _samples(path, channels)
        return None if values is None or values.dtype.itemsize == 1 else values


def _samples(path: str, channels: int) -> NDArray[Any] | None:
    """Return the values (C, H, W) of a file as stored; None where Pillow alone reads them."""
    if path.lower().endswith(arrays.NPY):
        return arrays.read_npy(path, channels=channels)
    any_range = (0.0, 1.0)  # a range that the header states does not matter here
    with open_binary(path) as file:
        if (reader := reader_in(file)) is not None:
            return reader.read_samples(file, channels=channels, value_range=any_range).values
        if tiff.is_tiff(file.read(4)):
            found = tiff.header_of(file)
            if tiff.by_tifffile(found, channels):
                return tiff.read_samples(
                    file, found, channels=channels, value_range=any_range
                ).values
        with open_image(file) as image:
            stored = samples_of(image, value_range=None, content=_content(image, file))
            return None if stored is None else stored.values


def _pixels(
    stored: Stored, *, channels: int, size: int, value_range: Sequence[float] | None
) -> Tensor:
    return torch.from_numpy(square(stored, channels=channels, size=size, value_range=value_range))


def square_of(
    image: Image.Image,
    *,
    channels: int,
    size: int,
    value_range: Sequence[float] | None = None,
    content: bytes | None = None,
) -> Tensor:
    """Make uint8 (C, S, S) of a picture of Pillow's: its central square, upright.

    S is ``size``. ``channels``: 1 or 3. ``content``: of its file, where that is at hand. Raises as
    Pillow does; ValueError for values without a known range.
    """
    stored = samples_of(image, value_range=value_range, content=content)
    image.load()
    # Pillow turns a TIFF when it is loaded, and no stored orientation is left then
    turn = orientation(image)
    if stored is not None:
        stored = replace(stored, turn=turn)
        return _pixels(stored, channels=channels, size=size, value_range=value_range)
    image = eight_bits(_central_square(image), "L" if channels == 1 else "RGB")
    image = resized(image, size)
    if turn is not None:
        image = image.transpose(turn)
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1)


def square_of_array(
    values: NDArray[Any], *, channels: int, size: int, value_range: Sequence[float] | None = None
) -> Tensor:
    """Make uint8 (C, S, S) of an array (C, H, W) as stored: its central square.

    S is ``size``. ValueError for values without a known range.
    """
    stored = Stored(values=values)
    return _pixels(stored, channels=channels, size=size, value_range=value_range)


def _read_jpeg(path: str) -> bytes | None:
    check_regular(path)
    with open(path, "rb") as file:
        return file.read(LARGEST_BYTES) if file.peek(len(JPEG)).startswith(JPEG) else None


def _decoded(content: bytes, channels: int, size: int) -> Tensor | None:
    """Decode a JPEG into uint8 (C, H, W) where Pillow would give it as it is; None for any other.

    As it is means of full size, upright, RGB or grey.

    simplejpeg gives Pillow's pixels in half the time: Pillow's goes into the way to an array. None
    too for what it refuses, damage above all: Pillow says what is wrong.
    """
    if not content.startswith(JPEG):
        return None
    if any(name in content for name in METADATA):
        with open_image(io.BytesIO(content)) as image:
            if orientation(image) is not None:
                return None
    try:
        height, width, kind, _ = simplejpeg.decode_jpeg_header(content)
        check_extent(width, height)
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
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """Convert any of Pillow's modes of 8 bits to "L" or "RGB"."""
    if image.has_transparency_data:
        image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # straight to grey would skip the palette's or the ink's colour conversion
    elif image.mode in ("P", "CMYK"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)
