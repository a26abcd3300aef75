"""Read DICOM: what its header says of its samples, and the samples as numbers (extra ``[dicom]``).

* stored numbers become what they measure (Hounsfield units) by the file's rescaling;
* then ``data.value_range`` says what is black and white. Without it the file's own first window or
  table does, else the bits that it states. Windows may differ from file to file, so a range is the
  better word where numbers must mean the same in all images;
* MONOCHROME1 is inverted, YBR and palettes become RGB, padding is black, overlays are left out;
* frames are channels where there are as many as ``data.channels``; any other number is refused.

Source: DICOM PS3.3, C.7.6.3 (pixels), C.11.1 (rescaling), C.11.2 (windows).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.opening import check_bytes, check_extent
from ssl_patches.data.stored import Stored

PREAMBLE = 128
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "PALETTE COLOR")  # and those that begin with YBR


class DicomReader:
    """Read DICOM files, see above."""

    suffixes = (".dcm", ".dicom")
    library, extra = "pydicom", "dicom"

    def is_there(self) -> bool:
        """Tell whether pydicom is installed."""
        return importlib.util.find_spec(self.library) is not None

    def begins(self, begin: bytes) -> bool:
        """Tell whether a file that begins so, with 132 bytes or more, is DICOM."""
        return begin[PREAMBLE : PREAMBLE + 4] == b"DICM"

    def extent(self, file: IO[bytes], channels: int | None) -> tuple[int, int]:
        """Return width and height of an open file. ValueError for damage and other ``channels``."""
        header = _read(file, pixels=False)
        _held(header, channels)
        return int(header.Columns), int(header.Rows)

    def channels_of(self, file: IO[bytes]) -> int:
        """Return how many channels an open file holds. ValueError for damage."""
        return _held(_read(file, pixels=False), None)

    def read_samples(
        self, file: IO[bytes], *, channels: int, value_range: Sequence[float] | None
    ) -> Stored:
        """Read the samples of an open file. ValueError for damage and for what is not read."""
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

        header = _read(file, pixels=True)
        held = _held(header, channels)
        try:
            raw = pixel_array(header)
            if header.PhotometricInterpretation == "PALETTE COLOR":
                raw = apply_color_lut(raw, header)
                held = 3
            if held == 3:
                highest = 2 ** (8 * raw.dtype.itemsize) - 1 if raw.dtype.itemsize > 1 else None
                bits = int(header.BitsStored)
                if header.PhotometricInterpretation != "PALETTE COLOR" and bits not in (8, 16):
                    highest = 2**bits - 1
                return Stored(values=np.moveaxis(raw, -1, 0), highest=highest)
            raw = raw if raw.ndim == 3 else raw[None]
            values: NDArray[Any] = apply_modality_lut(raw, header)
            shown, highest = (values, None) if value_range else _shown(values, header)
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            raise ValueError(f"is DICOM that pydicom cannot decode: {error}") from error
        return Stored(
            values=shown,
            highest=highest,
            white_is_zero=header.PhotometricInterpretation == "MONOCHROME1",
            missing=_padding(raw, header),
        )


def _read(file: IO[bytes], *, pixels: bool) -> Any:
    """Read header, and pixels where asked for; bounded. ValueError where it is no image."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        header = dcmread(file, stop_before_pixels=not pixels)
        height, width, bits = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
        header.PhotometricInterpretation, header.BitsStored  # noqa: B018 - AttributeError without
    except (InvalidDicomError, AttributeError, TypeError) as error:
        raise ValueError(f"is DICOM without an image, or damaged: {error}") from error
    check_extent(width, height)
    samples = int(header.get("SamplesPerPixel", 1)) * _frames(header)
    check_bytes((height, width, samples), (bits + 7) // 8)
    return header


def _frames(header: Any) -> int:
    return int(header.get("NumberOfFrames", 1) or 1)


def _held(header: Any, channels: int | None) -> int:
    """Return the channels of an image. ValueError where they are not ``channels``."""
    kind, frames = str(header.PhotometricInterpretation), _frames(header)
    if kind not in (*GREY, *COLOUR) and not kind.startswith("YBR"):
        raise ValueError(f"holds {kind}, which is not read; store grey or RGB")
    held = frames if kind in GREY else 3
    if channels is None:
        return held
    if kind not in GREY and frames > 1:
        raise ValueError(f"holds {frames} frames in colour; store each frame as a file of its own")
    if held != channels and (frames > 1 or channels not in (1, 3)):
        what = f"{frames} frames" if frames > 1 else f"{held} channels"
        rest = ", or store each frame as a file of its own" if frames > 1 else ""
        raise ValueError(
            f"holds {what}, and data.channels={channels}: set data.channels={held}{rest}"
        )
    return held


def _shown(values: NDArray[Any], header: Any) -> tuple[NDArray[Any], float | None]:
    """Return values as the file wants them seen, and the one that is white by its own word.

    By its table, else its first window, as shares 0..1; else as they are.
    """
    from pydicom.pixels import apply_voi

    if "VOILUTSequence" in header:
        table = header.VOILUTSequence[0]
        return apply_voi(values, header), 2 ** int(table.LUTDescriptor[2]) - 1
    if (window := _window(header)) is not None:
        return _in_window(values, *window, str(header.get("VOILUTFunction", "LINEAR"))), None
    rescaled = "RescaleSlope" in header or "ModalityLUTSequence" in header
    plain = values.dtype.kind == "u" and not rescaled
    return values, 2 ** int(header.BitsStored) - 1 if plain else None


def _window(header: Any) -> tuple[float, float] | None:
    """Return centre and width of the first window, None where there is none of use."""
    found = [header.get(name) for name in ("WindowCenter", "WindowWidth")]
    if any(each is None or each == "" for each in found):
        return None
    centre, width = (float(np.ravel(each)[0]) for each in found)  # one number, or some
    return (centre, width) if width >= 1 else None


def _in_window(
    values: NDArray[Any], centre: float, width: float, function: str
) -> NDArray[np.float32]:
    """Return shares 0..1 by the file's function: LINEAR, LINEAR_EXACT or SIGMOID."""
    exact = values.astype(np.float64)
    if function == "SIGMOID":
        return (1 / (1 + np.exp(-4 * (exact - centre) / width))).astype(np.float32)
    if function != "LINEAR_EXACT":
        centre, width = centre - 0.5, max(width - 1, 1e-9)
    return np.clip((exact - centre) / width + 0.5, 0, 1).astype(np.float32)


def _padding(raw: NDArray[Any], header: Any) -> NDArray[np.bool_] | None:
    """Return where stored samples (C, H, W) are padding; None where the file states none."""
    if (value := header.get("PixelPaddingValue")) is None:
        return None
    limit = header.get("PixelPaddingRangeLimit", value)
    low, high = sorted((int(value), int(limit)))
    return np.asarray((raw >= low) & (raw <= high))
