"""Turn values as stored into levels 0..255: 16 bits and more, floats, and any number of channels
(TIFF through tifffile, npy).

The rule is stated, never taken from an image's own extremes, so that equal values stay equal in all
images:

* 8-bit values are levels already;
* with ``value_range=(low, high)`` low becomes 0, high becomes 255, and what lies beyond is clipped
  to them (a window, as radiologists set one): ``[0, 4095]`` for 12 bits stored in 16,
  ``[-1000, 400]`` for a lung in Hounsfield units;
* without one integers are 0..65535 and floats 0..1, and values beyond have no known range and are
  refused.

A channel axis is recognised by its length, ``channels``: the last axis first (H, W, C), then the
first (C, H, W, and the pages of a TIFF); no channel axis (H, W) is one channel. Views are made of
256 levels: state a range that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NPY, TIFF = (".npy",), (".tif", ".tiff")
Range = tuple[float, float]


def is_array(path: str, *, channels: int, value_range: Sequence[float] | None) -> bool:
    """Tell whether a file is read as an array rather than by Pillow.

    npy always, TIFF where Pillow would lose channels or the bits of a stated range.
    """
    return path.lower().endswith(NPY) or (
        path.lower().endswith(TIFF) and (channels not in (1, 3) or value_range is not None)
    )


def require_readers(
    paths: Sequence[str], *, channels: int, value_range: Sequence[float] | None
) -> None:
    """Raise ValueError where files are there that only tifffile reads, and tifffile is not."""
    tiff = [path for path in paths if path.lower().endswith(TIFF)]
    if not any(is_array(path, channels=channels, value_range=value_range) for path in tiff[:1]):
        return
    try:
        import tifffile  # noqa: F401
    except ImportError:
        raise ValueError(
            f"data.channels={channels}: {tiff[0]} and {len(tiff) - 1} more are TIFF, which need"
            " tifffile where there are other than 1 or 3 channels or a value_range; install it:"
            " pip install 'ssl-patches[tiff]', or give npy files"
        ) from None


@contextmanager
def _tiff(path: str) -> Iterator[Any]:
    """Open the first series of a TIFF; what tifffile and its codecs raise becomes ValueError."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            if not file.series:
                raise ValueError("holds no pixels")
            yield file.series[0]
    except (tifffile.TiffFileError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def shape_of(path: str) -> tuple[int, ...]:
    """Return the shape that a file states, without reading its pixels.

    Raises what its reader raises.
    """
    if path.lower().endswith(NPY):
        return np.load(path, mmap_mode="r", allow_pickle=False).shape
    with _tiff(path) as series:
        return tuple(series.shape)


def read_array(path: str, *, channels: int) -> NDArray[Any]:
    """Read an array file as (C, H, W), values as stored.

    Raises what its reader raises; ValueError for another number of channels.
    """
    if path.lower().endswith(NPY):
        return channels_first(np.load(path, mmap_mode="r", allow_pickle=False), channels=channels)
    with _tiff(path) as series:
        return channels_first(series.asarray(), channels=channels)


def extent_of(shape: Sequence[int], *, channels: int) -> tuple[int, int]:
    """Return width and height of an array. ValueError for another number of channels."""
    axis = _channel_axis(shape, channels, last=True)
    height, width = (side for at, side in enumerate(shape) if at != axis)
    return width, height


def channels_first(values: NDArray[Any], *, channels: int, last: bool = True) -> NDArray[Any]:
    """Bring (H, W), (H, W, C) or (C, H, W) into the order (C, H, W).

    ``last``: the channels are the last axis where both would fit. ValueError for another number of
    channels.
    """
    axis = _channel_axis(values.shape, channels, last=last)
    return values[None] if axis is None else np.moveaxis(values, axis, 0)


def _channel_axis(shape: Sequence[int], channels: int, *, last: bool) -> int | None:
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


def levels(values: NDArray[Any], value_range: Sequence[float] | None) -> NDArray[np.float32]:
    """Scale stored values, of any shape, to levels 0..255 by the rule above, not rounded.

    ValueError for values that have no known range, or are not finite.
    """
    if values.dtype == np.uint8:
        return values.astype(np.float32)
    if values.dtype.kind not in "uif":
        raise ValueError(f"has {values.dtype} pixels: must be whole numbers or floats")
    low, high = value_range or (0, 1.0 if values.dtype.kind == "f" else 65535)
    least, most = values.min(), values.max()
    # so written that NaN is refused too
    if value_range is None and not (least >= 0 and most <= high):
        raise ValueError(
            f"pixels {least}..{most} lie outside 0..{high}: store them as 8 or 16 bits, or give"
            " data.value_range=[LOW,HIGH]"
        )
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError("holds pixels that are not finite: replace them")
    # 24 bits hold every 16-bit value
    wide: type[Any] = np.float32 if values.dtype.itemsize <= 2 else np.float64
    scaled = (values.astype(wide) - wide(low)) * wide(255 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.float32)


def square(
    values: NDArray[Any], *, size: int, value_range: Sequence[float] | None
) -> NDArray[np.uint8]:
    """Make uint8 (C, size, size) of (C, H, W) as stored: the central square, in levels 0..255.

    Resized as Pillow resizes, antialiased. ValueError for an image without pixels, and as for
    ``levels``.
    """
    side = min(values.shape[1:])
    if side < 1:
        raise ValueError(f"has no pixels (shape {values.shape})")
    top, left = (values.shape[1] - side) // 2, (values.shape[2] - side) // 2
    pixels = levels(np.asarray(values[:, top : top + side, left : left + side]), value_range)
    if side != size:
        planes = [
            Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
            for plane in pixels
        ]
        pixels = np.stack([np.asarray(plane) for plane in planes])
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def check_range(value_range: Sequence[float] | None) -> Range | None:
    """Return ``data.value_range`` as floats; ValueError unless it is two numbers, low < high."""
    if value_range is None:
        return None
    if len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ValueError(
            f"data.value_range={list(value_range)}: two numbers low < high, the stored values that"
            " become black and white; e.g. data.value_range=[0,4095]"
        )
    return float(value_range[0]), float(value_range[1])
