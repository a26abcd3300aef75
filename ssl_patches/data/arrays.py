"""Turn values as stored into levels 0..255, whatever their depth, and find the axis of channels.

The rule is stated, never taken from an image's own extremes, so that equal values stay equal in all
images:

* 8-bit values are levels already, with a range or without;
* with ``value_range=(low, high)`` low becomes 0, high becomes 255, and what lies beyond is clipped
  to them (a window, as radiologists set one): ``[0, 4095]`` for 12 bits stored in 16,
  ``[-1000, 400]`` for a lung in Hounsfield units;
* without one the file's own word counts (12 bits of a TIFF, the maximum of a PGM), else integers
  are 0..65535 and floats 0..1, and values beyond have no known range and are refused.

A channel axis is recognised by its length, ``channels``: the last axis first (H, W, C), then the
first (C, H, W, and the pages of a TIFF); no channel axis (H, W) is one channel. Views are made of
256 levels: state a range that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.opening import load_npy, npy_of_bytes

NPY, TIFF = (".npy",), (".tif", ".tiff")
NPY_BEGINS = b"\x93NUMPY"
Range = tuple[float, float]


def read_npy(path: str, *, channels: int, data: bytes | None = None) -> NDArray[Any]:
    """Read an npy file as (C, H, W), values as stored; ``data``: its content, where that is at
    hand.

    Raises what its reader raises; ValueError for another number of channels.
    """
    values = load_npy(path) if data is None else npy_of_bytes(data)
    return channels_first(values, channels=channels)


def npy_shape(path: str) -> tuple[int, ...]:
    """Return the shape that an npy file states, without reading its values.

    Raises what its reader raises.
    """
    return tuple(load_npy(path).shape)


def extent_of(shape: Sequence[int], *, channels: int) -> tuple[int, int]:
    """Return width and height of an array. ValueError for another number of channels."""
    axis = channel_axis(shape, channels, last=True)
    height, width = (side for at, side in enumerate(shape) if at != axis)
    return width, height


def channels_first(values: NDArray[Any], *, channels: int, last: bool = True) -> NDArray[Any]:
    """Bring (H, W), (H, W, C) or (C, H, W) into the order (C, H, W).

    ``last``: the channels are the last axis where both would fit. ValueError for another number of
    channels.
    """
    axis = channel_axis(values.shape, channels, last=last)
    return values[None] if axis is None else np.moveaxis(values, axis, 0)


def channel_axis(shape: Sequence[int], channels: int, *, last: bool) -> int | None:
    """Return the axis of ``channels``, None where there is none. ValueError where none fits."""
    if len(shape) == 2 and channels == 1:
        return None
    if len(shape) == 3:
        for axis in (2, 0) if last else (0, 2):
            if shape[axis] == channels:
                return axis
    held = (
        f"{min(shape[0], shape[-1])} channels"
        if len(shape) == 3
        else "1 channel"
        if len(shape) == 2
        else "no known axes"
    )
    raise ValueError(
        f"has shape {tuple(shape)}, {held}, and data.channels={channels}: one axis must have that"
        " length"
    )


def check_picture_channels(channels: int) -> None:
    """Raise ValueError unless a picture, grey or in colour, can be given ``channels``."""
    if channels not in (1, 3):
        raise ValueError(
            f"has 1 (grey) or 3 (RGB) channels, and data.channels={channels}: set data.channels=3"
        )


def levels(
    values: NDArray[Any], value_range: Sequence[float] | None, *, highest: float | None = None
) -> NDArray[np.float32]:
    """Scale stored values, of any shape, to levels 0..255 by the rule above, not rounded.

    ``highest``: the value that is white by the file's own word; None: that of the type.
    ValueError for values that have no known range, or are not finite.
    """
    kind, one_byte = values.dtype.kind, values.dtype.itemsize == 1
    if kind == "u" and one_byte:
        return values.astype(np.float32) * np.float32(255 / (highest or 255))
    if kind not in "uif":
        raise ValueError(f"has {values.dtype} pixels: must be whole numbers or floats")
    least, most = values.min(), values.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError(
            f"holds pixels that are not finite ({least}..{most}): replace them by a value, such as"
            " the one that shall be black"
        )
    low, high = value_range or (0, highest or (1.0 if kind == "f" else 65535))
    if value_range is None and (one_byte or not (least >= 0 and most <= high)):
        beyond = "are bytes with a sign" if one_byte else f"lie outside 0..{high}"
        raise ValueError(
            f"pixels {least}..{most} {beyond}: store them as 8 or 16 bits, or give"
            " data.value_range=[LOW,HIGH]"
        )
    # 24 bits hold every 16-bit value
    wide: type[Any] = np.float32 if values.dtype.itemsize <= 2 else np.float64
    scaled = (values.astype(wide) - wide(low)) * wide(255 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.float32)


def check_value_range(value_range: Sequence[float] | None) -> Range | None:
    """Return ``data.value_range`` as floats; ValueError unless it is two numbers, low < high."""
    if value_range is None:
        return None
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ValueError(
            f"data.value_range={list(value_range)}: two numbers low < high, the stored values that"
            " become black and white; e.g. data.value_range=[0,4095]"
        )
    return float(value_range[0]), float(value_range[1])


def said_nearly_black(images: Iterable[object]) -> list[str]:
    """Say where arrays of more than 8 bits end at a level of 8: without a range they are black."""
    deep = [each for each in images if isinstance(each, np.ndarray) and each.dtype.kind in "iu"]
    deep = [each for each in deep if each.dtype.itemsize > 1]
    most = max((int(each.max(initial=0)) for each in deep), default=0)
    if not 0 < most <= 255:
        return []
    return [
        f"images of {deep[0].dtype} end at {most}, and 65535 is white without a range, so they are"
        " nearly black; return uint8, or set data.value_range=[0,255]"
    ]
