"""Make the square of an image whose samples are at hand as they are stored: one rule for TIFF, PNG,
npy and arrays of a Dataset.

``Stored`` holds the samples and what the file's header says of them. ``square`` does what it says,
in this order: centre crop, holes, levels (``arrays.levels``), white that is zero, transparency laid
on white, grey or colour, resizing, and last the orientation. Everything is done in floats and
rounded once, so the same samples give the same pixels whatever they lay in.

The trap: pixels without data. They become black, after the levels, so that the number that stands
for them (-9999, NaN) is neither a value nor a limit; an image that is nothing else is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssl_patches.data.arrays import levels

LUMA = np.array([19595, 38470, 7471], np.float32) / 65536  # ITU-R 601, as Pillow has it
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The samples of an image as stored, and what its header says of them.

    ``values`` (C, H, W). ``highest``: the value that is white by the file's own word; None: that of
    the type. ``white_is_zero``: 0 is white. ``alpha`` (H, W): how opaque a pixel is, shares 0..1;
    None: wholly. ``no_data``: what stands where there is no value. ``missing`` (C, H, W): where
    there is none, whatever stands there; None: nowhere. ``turn``: what turns the stored picture
    upright.
    """

    values: NDArray[Any]
    highest: float | None = None
    white_is_zero: bool = False
    alpha: NDArray[Any] | None = None
    no_data: float | None = None
    missing: NDArray[np.bool_] | None = None
    turn: Image.Transpose | None = None


def square(
    stored: Stored, *, channels: int, size: int, value_range: Sequence[float] | None
) -> NDArray[np.uint8]:
    """Make uint8 (C, size, size): the central square, in levels 0..255, C = ``channels``.

    Grey is repeated for three channels, colour becomes grey by luma. Resized as Pillow resizes,
    antialiased. ValueError for an image without pixels or without data, for another number of
    channels, and as for ``arrays.levels``.
    """
    held = len(stored.values)
    if held != channels and {held, channels} != {1, 3}:
        raise ValueError(f"has {held} channels, and data.channels={channels}; set it to {held}")
    values = _central(stored.values)
    if (picture := _plain(stored, values, channels)) is not None:
        pixels = np.array(resized(picture, size)).reshape(size, size, -1).transpose(2, 0, 1)
        return turned(np.ascontiguousarray(pixels), stored.turn)
    shown: NDArray[Any] = _shown(stored, values, value_range)
    if held == 3 and channels == 1:
        shown = np.tensordot(LUMA, shown, 1)[None]
    if shown.shape[1] != size:
        planes = [
            Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
            for plane in shown
        ]
        shown = np.stack([np.asarray(plane) for plane in planes])
    pixels = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return turned(np.repeat(pixels, channels // len(pixels), 0), stored.turn)


def resized(picture: Image.Image, size: int) -> Image.Image:
    """Resize a square picture of Pillow's to ``size`` pixels; one of that size stays as it is."""
    if picture.width == size:
        return picture
    return picture.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)


def turned(pixels: NDArray[np.uint8], turn: Image.Transpose | None) -> NDArray[np.uint8]:
    """Turn each plane of (C, S, S)."""
    if turn is None:
        return pixels
    return np.stack([np.asarray(Image.fromarray(plane).transpose(turn)) for plane in pixels])


def _central(values: NDArray[Any]) -> NDArray[Any]:
    """Return the central square of the last two axes. ValueError where there is none."""
    side = min(values.shape[-2:])
    if side < 1:
        raise ValueError(f"has no pixels (shape {values.shape})")
    top, left = (values.shape[-2] - side) // 2, (values.shape[-1] - side) // 2
    return np.asarray(values[..., top : top + side, left : left + side])


def _plain(stored: Stored, values: NDArray[Any], channels: int) -> Image.Image | None:
    """Return bytes that are levels already as a picture, which is resized like any other; or
    None."""
    said = (stored.highest, stored.alpha, stored.no_data, stored.missing)
    if values.dtype != np.uint8 or stored.white_is_zero or any(each is not None for each in said):
        return None
    if len(values) not in (1, 3) or channels not in (1, 3):
        return None
    picture = Image.fromarray(
        np.ascontiguousarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))
    )
    return picture.convert("L" if channels == 1 else "RGB")


def _shown(
    stored: Stored, values: NDArray[Any], value_range: Sequence[float] | None
) -> NDArray[np.float32]:
    """Return levels (C, S, S) of a square, as the header of its file wants them shown."""
    empty = _empty(values, stored)
    if empty is not None:
        if empty.all():
            said = "" if stored.no_data is None else f" ({stored.no_data:g})"
            raise ValueError(f"holds nothing but no-data{said}: leave it out")
        values = np.where(empty, values[~empty][0], values)
    shown = levels(values, value_range, highest=stored.highest)
    if stored.white_is_zero:
        shown = 255 - shown
    if empty is not None:
        shown[empty] = 0
    if stored.alpha is not None:
        opaque = _central(stored.alpha).astype(np.float32)
        shown = shown * opaque + 255 * (1 - opaque)
    return shown


def share_missing(stored: Stored) -> float:
    """Return the share 0..1 of the samples that are no data, or wholly transparent."""
    empty = _whole(stored)
    clear = None if stored.alpha is None else stored.alpha == 0
    if empty is None:
        return 0.0 if clear is None else float(clear.mean())
    return float((empty if clear is None else empty | clear).mean())


def _whole(stored: Stored) -> NDArray[np.bool_] | None:
    """Return where there is no data in all of (C, H, W), or None where there is data everywhere."""
    found: NDArray[np.bool_] | None = None
    if stored.no_data is not None:
        values = stored.values
        missing = np.isnan(values) if np.isnan(stored.no_data) else values == stored.no_data
        found = np.asarray(missing)
    if stored.missing is not None:
        found = stored.missing if found is None else found | stored.missing
    return found if found is not None and found.any() else None


def _empty(values: NDArray[Any], stored: Stored) -> NDArray[np.bool_] | None:
    """Return where there is no data in the central square, or None where there is data
    everywhere."""
    square_only = None if stored.missing is None else _central(stored.missing)
    return _whole(replace(stored, values=values, missing=square_only))
