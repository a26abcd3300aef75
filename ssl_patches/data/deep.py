"""Read samples of more than 8 bits as they are stored, where Pillow would cut or scale them.

* PNG with 16 bits in colour or with transparency: Pillow keeps the high byte of each sample. Its
  low bytes are asked for in a second pass, so nothing else is needed to read them;
* PGM and PPM with a maximum above 255: Pillow scales grey to 65535 and cuts colour to 8 bits. The
  samples are read here; their maximum is white;
* JPEG 2000 above 8 bits: Pillow shifts grey to 16 bits and cuts colour. imagecodecs (the extra
  ``[tiff]``) gives the samples; without it such a file is read by Pillow, and refused where a range
  is stated;
* AVIF above 8 bits is cut by its decoder, and refused where a range is stated.

A picture of Pillow's with 16 or 32 bits or floats (``I;16``, ``I``, ``F``) holds its samples.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from ssl_patches.data.opening import open_image
from ssl_patches.data.stored import Stored
from ssl_patches.data.tiff import WHITE_IS_ZERO

DEEP = ("I", "F")
PNM = re.compile(rb"(P[2356])" + rb"(?:\s|#[^\n\r]*[\n\r])+(\d+)" * 3 + rb"\s")
"""The header of a PGM or PPM: kind, width, height, maximum."""


def is_deep(image: Image.Image) -> bool:
    """Tell whether a picture of Pillow's holds more than 8 bits a sample."""
    return image.mode in DEEP or image.mode.startswith("I;16")


def samples_of(
    image: Image.Image, *, value_range: Sequence[float] | None, content: bytes | None = None
) -> Stored | None:
    """Return the samples of an open picture of more than 8 bits; None where it has no more.

    ``content``: of its file, where the caller has that; without it the picture's own pixels are all
    there is. ValueError where a range is stated for samples that a decoder has changed.
    """
    if content is not None:
        if image.format == "PPM" and (found := PNM.match(content)) and int(found[4]) > 255:
            return _pnm(content, found)
        if image.format == "JPEG2000" and (bits := _jpeg2000_bits(content)) > 8:
            return _jpeg2000(content, bits, image, value_range)
        if image.format == "AVIF" and value_range and _avif_is_deep(content):
            raise ValueError(
                "is AVIF of more than 8 bits, which is read with 8: data.value_range cannot be"
                " applied to what is stored; store TIFF, PNG or npy"
            )
    raw = _raw_mode(image)
    if image.format == "PNG" and raw in _PNG:
        return _PNG[raw](image, _content(image) if content is None else content)
    if ";16" in raw and not is_deep(image) and value_range:
        raise ValueError(
            f"is {image.format} of 16 bits, which is read with 8: data.value_range cannot be"
            " applied to what is stored; store PNG, TIFF or npy"
        )
    return _grey(image) if is_deep(image) else None


def _raw_mode(image: Image.Image) -> str:
    """Return how the samples lie in the file, "" where that is not known any more."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:  # empty once they are read
        return ""
    arguments = image.tile[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _content(image: Image.Image) -> bytes:
    """Return the content of the file of a picture that is open, and leave the file where it was."""
    assert isinstance(image, ImageFile.ImageFile)
    assert image.fp is not None
    place = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(place)
    return content


def _grey(image: Image.Image) -> Stored:
    """Return the samples of a picture of mode I;16, I or F."""
    image.load()
    values = np.asarray(image)[None]
    inverted, highest = False, None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        inverted = image.tag_v2.get(262) == WHITE_IS_ZERO
        bits = max(image.tag_v2.get(258, (16,)))
        highest = 2**bits - 1 if 8 < bits < 16 else None
    key = image.info.get("transparency")
    alpha = (values[0] != key).astype(np.float32) if isinstance(key, int) else None
    return Stored(values=values, highest=highest, white_is_zero=inverted, alpha=alpha)


def _png_colour(image: Image.Image, content: bytes) -> Stored:
    key = image.info.get("transparency")
    values = _both_bytes(content, "RGB;16B", "RGB;16L").transpose(2, 0, 1)
    shown = None
    if isinstance(key, tuple):
        shown = (values != np.array(key, np.uint16)[:, None, None]).any(0).astype(np.float32)
    return Stored(values=values, alpha=shown)


def _png_colour_with_alpha(image: Image.Image, content: bytes) -> Stored:
    samples = _both_bytes(content, "RGBA;16B", "RGBA;16L").transpose(2, 0, 1)
    return Stored(values=samples[:3], alpha=samples[3].astype(np.float32) / 65535)


def _png_grey_with_alpha(image: Image.Image, content: bytes) -> Stored:
    """Four bytes a pixel are what Pillow takes RGBA for."""
    high, low, alpha_high, alpha_low = _as_stored(content, "RGBA").transpose(2, 0, 1)
    alpha = (alpha_high * np.uint16(256) + alpha_low).astype(np.float32) / 65535
    return Stored(values=(high * np.uint16(256) + low)[None], alpha=alpha)


_PNG: dict[str, Callable[[Image.Image, bytes], Stored]] = {
    "RGB;16B": _png_colour,
    "RGBA;16B": _png_colour_with_alpha,
    "LA;16B": _png_grey_with_alpha,
}


def _both_bytes(content: bytes, high: str, low: str) -> NDArray[np.uint16]:
    """Return (H, W, C) of big-endian samples: read as little-endian ones, the low byte is kept."""
    return _as_stored(content, high) * np.uint16(256) + _as_stored(content, low)


def _as_stored(content: bytes, raw: str) -> NDArray[np.uint16]:
    """Decode a PNG with another layout of its bytes."""
    with open_image(io.BytesIO(content)) as image:
        assert isinstance(image, ImageFile.ImageFile)
        codec, extents, offset, arguments = image.tile[0]
        other = (raw, *arguments[1:]) if isinstance(arguments, tuple) else raw
        image.tile = [type(image.tile[0])(codec, extents, offset, other)]
        return np.asarray(image).astype(np.uint16)


def _pnm(content: bytes, found: re.Match[bytes]) -> Stored:
    """Read samples of 16 bits, big-endian or as text."""
    kind, (width, height, most) = found[1], (int(found[at]) for at in (2, 3, 4))
    bands = 3 if kind in (b"P3", b"P6") else 1
    count = width * height * bands
    if most > 65535:
        raise ValueError(f"has a maximum of {most}, above 65535")
    if kind in (b"P2", b"P3"):
        text = re.sub(rb"#[^\n\r]*", b"", content[found.end() :])
        values = np.array(text.split()[:count], np.uint32).astype(np.uint16)
    else:
        values = np.frombuffer(content[found.end() :][: 2 * count], ">u2").astype(np.uint16)
    if len(values) < count:
        raise ValueError(f"image file is truncated ({len(values)} of {count} samples)")
    if values.max(initial=0) > most:
        raise ValueError(f"holds {values.max()}, and says that its maximum is {most}")
    shaped = values.reshape(height, width, bands).transpose(2, 0, 1)
    return Stored(values=shaped, highest=most)


def _jpeg2000_bits(content: bytes) -> int:
    """Return the bits of a sample, from the marker SIZ of the codestream; 8 where there is none."""
    begin = content.find(b"\xff\x4f\xff\x51")
    at = begin + 2 + 2 + 36 + 2  # SOC; the marker; its fixed part; the number of components
    return (content[at] & 0x7F) + 1 if begin >= 0 and at < len(content) else 8


def _jpeg2000(
    content: bytes, bits: int, image: Image.Image, value_range: Sequence[float] | None
) -> Stored | None:
    try:
        import imagecodecs
    except ImportError:
        if value_range:
            raise ValueError(
                f"is JPEG 2000 of {bits} bits, whose stored samples imagecodecs reads; install it:"
                " pip install 'ssl-patches[tiff]'"
            ) from None
        return _grey(image) if is_deep(image) else None
    try:
        values = np.asarray(imagecodecs.jpeg2k_decode(content))
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    highest = None if values.dtype.kind == "i" else 2**bits - 1
    if len(values) in (2, 4):
        opaque = values[-1].astype(np.float32) / (2**bits - 1)
        return Stored(values=values[:-1], alpha=opaque, highest=highest)
    return Stored(values=values, highest=highest)


def _avif_is_deep(content: bytes) -> bool:
    """Tell whether the configuration of AV1 in the file states 10 or 12 bits."""
    at = content.find(b"av1C")
    return at >= 0 and len(content) > at + 6 and bool(content[at + 6] & 0x40)
