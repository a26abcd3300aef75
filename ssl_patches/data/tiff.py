"""Read TIFF: what its header says of its samples, and the samples as stored.

A TIFF of up to 8 bits in grey, colour or a palette is a picture, and Pillow reads it rightly.
Everything else is samples, which tifffile reads (the extra ``[tiff]``):

* more than 8 bits, floats, any number of channels; a white that is zero is inverted, at any depth;
* 10, 12 or 14 bits are scaled by their own range. A largest value that the header states
  (MaxSampleValue) may be a range or a statistic: ``data.value_range`` has to say which;
* pages of one size are channels where there are as many as ``data.channels``; any other number is
  refused, because pages would be dropped. Smaller pages (thumbnails, pyramids) are left out;
* GDAL's no-data is black; a transparent pixel is white, unless all samples are asked for as
  channels;
* other kinds of samples (deep palettes and inks, Lab, raw sensors) are refused by name.

Source: TIFF 6.0, sections 2 to 8, 18 and 20; GDAL's tag 42113.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.arrays import TIFF
from ssl_patches.data.opening import IN_WINDOWS, TooLarge, open_binary
from ssl_patches.data.stored import TRANSPOSE, Stored

BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR = 0, 1, 2, 3, 5, 6
KINDS = {4: "a mask", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a raw sensor's mosaic"}
PICTURES = (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR)
ASSOCIATED, UNASSOCIATED = 1, (2, 999)  # 999 is what Corel writes
REDUCED_OR_MASK = 1 | 4  # bits of NewSubfileType
NO_DATA, GEO_KEYS = 42113, 34735
LIMIT = 100_000  # pages, and values of a tag
LARGEST = 2**32  # samples of an image
TAGS = {254, 256, 257, 258, 262, 274, 277, 281, 338, 339, 341, NO_DATA, GEO_KEYS}
TYPES = {
    **{1: "B", 2: "s", 3: "H", 4: "L", 6: "b", 7: "B", 8: "h", 9: "l", 11: "f", 12: "d"},
    **{16: "Q", 17: "q"},
}
"""How values of a type are unpacked; there are no fractions among ``TAGS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffHeader:
    """The header of a TIFF: its first page, and how many pages ``pages`` are as large as that one.

    ``bits`` of a sample; ``form``: 1 whole numbers, 2 with a sign, 3 floats. ``extra``: the kinds
    of the samples beyond grey or colour. ``largest``: MaxSampleValue, None where it is not stated.
    ``placed``: it says where on Earth it lies.
    """

    width: int
    height: int
    bits: int
    form: int
    photometric: int
    samples: int
    extra: tuple[int, ...]
    orientation: int
    largest: float | None
    no_data: float | None
    pages: tuple[int, ...]
    placed: bool

    @property
    def is_picture(self) -> bool:
        """Tell whether Pillow reads it, without a loss and as its header says."""
        plain = self.bits <= 8 and self.form == 1 and self.photometric in PICTURES
        banded = self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and self.opaque_samples > 1
        holes = self.no_data is not None and (
            self.no_data != 0 or self.photometric == WHITE_IS_ZERO  # 0 is black as it is
        )
        return plain and not banded and not holes and len(self.pages) == 1

    @property
    def alpha(self) -> int | None:
        """Return the number of the sample that says how opaque a pixel is, or None."""
        first = self.samples - len(self.extra)
        if self.photometric == RGB and self.samples == 4 and not self.extra:
            return 3
        known = (ASSOCIATED, *UNASSOCIATED)
        return first if self.extra and self.extra[0] in known else None

    @property
    def opaque_samples(self) -> int:
        """Count the samples that are no transparency."""
        return self.samples - (self.alpha is not None)

    def check(self, channels: int) -> None:
        """Raise ValueError where samples or pages are not ``channels``, or are of another kind.

        ``TooLarge`` for more samples than are read.
        """
        self._check_kind(channels)
        if self.width * self.height * self.samples > LARGEST:
            raise TooLarge(
                f"states {self.width} x {self.height} x {self.samples} samples, more than are read"
                f" whole: {IN_WINDOWS}"
            )
        pages = len(self.pages)
        if pages > 1 and (self.samples > 1 or pages != channels):
            remedy = f"set data.channels={pages}, or " if self.samples == 1 else ""
            raise ValueError(
                f"holds {pages} pages of one size, and data.channels={channels} takes one;"
                f" {remedy}store each page as a file of its own"
            )
        if not self._fits(channels):
            raise ValueError(
                f"has {self.samples} channels, and data.channels={channels}: set"
                f" data.channels={self.samples}"
            )

    def check_part(self, held: int, channels: int) -> None:
        """Raise ValueError where parts of an image of ``held`` channels are not read as
        ``channels``.

        A part holds samples, so a palette and inks, which are no samples of a channel, are refused.
        """
        self._check_kind(channels)
        if self.photometric in (PALETTE, INKS):
            what = "a palette" if self.photometric == PALETTE else "inks"
            raise ValueError(f"holds {what}, of which no parts are read; store grey or RGB")
        if held != channels and (held != self.samples or not self._fits(channels)):
            raise ValueError(
                f"has {held} channels, and data.channels={channels}: set data.channels={held}"
            )

    def _check_kind(self, channels: int) -> None:
        kind = KINDS.get(self.photometric, f"kind {self.photometric}")
        deep = {PALETTE: "a palette", INKS: "inks"}.get(self.photometric)
        if self.photometric not in PICTURES or (deep and self.bits > 8 and channels in (1, 3)):
            what = f"{deep} of {self.bits} bits" if deep else kind
            raise ValueError(f"holds {what}, which is not read; store grey or RGB")

    def _fits(self, channels: int) -> bool:
        if len(self.pages) > 1 or self.samples == channels:
            return True
        if channels not in (1, 3):
            return False
        return self.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO) or self.opaque_samples == 1


def is_tiff(begin: bytes) -> bool:
    """Tell whether a file that begins so is a TIFF."""
    return begin[:4] in BEGINS


def has_tifffile() -> bool:
    """Tell whether tifffile is installed."""
    return importlib.util.find_spec("tifffile") is not None


def by_tifffile(found: TiffHeader, channels: int) -> bool:
    """Tell whether tifffile reads a TIFF: no picture, or all its samples are channels."""
    pictured = channels in (1, 3)
    return not (pictured and (found.is_picture or not has_tifffile()))


def require_readers(
    paths: Sequence[str], *, channels: int, value_range: Sequence[float] | None
) -> None:
    """Raise ValueError where files are there that only tifffile reads, and tifffile is not."""
    found = [path for path in paths if path.lower().endswith(TIFF)]
    if has_tifffile() or not found or (channels in (1, 3) and value_range is None):
        return
    if channels in (1, 3) and _is_picture(found[0]):
        return
    raise ValueError(
        f"data.channels={channels}: {found[0]} and {len(found) - 1} more are TIFF, which need"
        " tifffile where there are other than 1 or 3 channels or a value_range; install it:"
        " pip install 'ssl-patches[tiff]', or give npy files"
    )


def _is_picture(path: str) -> bool:
    try:
        with open_binary(path) as file:
            return header_of(file).is_picture
    except (OSError, ValueError, struct.error):  # told when it is read
        return True


def header_of(file: IO[bytes]) -> TiffHeader:
    """Read the header of an open TIFF. Raises ValueError or struct.error on damage."""
    directories = _directories(file)
    first = next(directories, None)
    if first is None:
        raise ValueError("holds no pixels")
    size = first.get(256), first.get(257)
    pages = [0]
    for number, page in enumerate(directories, 1):
        (kind,) = page.get(254, (0,))
        if (page.get(256), page.get(257)) == size and not kind & REDUCED_OR_MASK:
            pages.append(number)
    largest = first.get(281, ()) + first.get(341, ())
    return TiffHeader(
        width=int((size[0] or (0,))[0]),
        height=int((size[1] or (0,))[0]),
        bits=max(first.get(258) or (1,)),
        form=max(first.get(339) or (1,)),
        photometric=first.get(262, (WHITE_IS_ZERO,))[0],
        samples=first.get(277, (1,))[0],
        extra=first.get(338, ()),
        orientation=first.get(274, (1,))[0],
        largest=max(largest) if largest else None,
        no_data=_number(*first.get(NO_DATA, (None,))),
        pages=tuple(pages),
        placed=GEO_KEYS in first,
    )


def _directories(file: IO[bytes]) -> Iterator[dict[int, tuple[Any, ...]]]:
    """Yield the tags of each page, those of ``TAGS``."""
    file.seek(0)
    begin = file.read(8)
    order, large = "<" if begin[:2] == b"II" else ">", b"+" in begin[2:4]
    count, number, entry = ("Q", "Q", 20) if large else ("H", "L", 12)
    place = _unpacked(file, order + number) if large else struct.unpack(order + "L", begin[4:])[0]
    seen = set[int]()
    while place and place not in seen and len(seen) < LIMIT:
        seen.add(place)
        file.seek(place)
        entries = file.read(min(_unpacked(file, order + count), LIMIT) * entry)
        place = _unpacked(file, order + number)
        found: dict[int, tuple[Any, ...]] = {}
        for at in range(0, len(entries) - entry + 1, entry):
            tag, kind, length = struct.unpack_from(order + "HH" + number, entries, at)
            if tag in TAGS and kind in TYPES and length < LIMIT:
                value = entries[at + 4 + entry // 5 * 2 : at + entry]
                found[tag] = _value(file, order, number, TYPES[kind], length, value)
        yield found


def _unpacked(file: IO[bytes], form: str) -> int:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _value(
    file: IO[bytes], order: str, number: str, kind: str, length: int, value: bytes
) -> tuple[Any, ...]:
    """Return the values of a tag, which lie in its entry or where that points to."""
    size = length * struct.calcsize("=" + kind)
    if size > len(value):
        file.seek(struct.unpack(order + number, value)[0])
        value = file.read(size)
    if kind == "s":
        return (value[:size].decode("latin-1"),)
    return struct.unpack(f"{order}{length}{kind}", value[:size])


def _number(text: Any) -> float | None:
    """Return the number of an ASCII tag, or None where there is none in it."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def read_samples(
    file: IO[bytes], header: TiffHeader, *, channels: int, value_range: Sequence[float] | None
) -> Stored:
    """Read the samples of an open TIFF by tifffile.

    ValueError for another number of channels, for what is not read and for damage. ``value_range``:
    where it is given the range that the header states does not matter. ImportError without
    tifffile.
    """
    header.check(channels)
    values = _samples(file, header)
    return stored_of(values, header, channels=channels, value_range=value_range)


def stored_of(
    values: NDArray[Any],
    header: TiffHeader,
    *,
    channels: int,
    value_range: Sequence[float] | None,
) -> Stored:
    """Return samples (C, H, W) of an image or a part of it with what its header says of them.

    ValueError for a range that the header leaves open.
    """
    own = 2**header.bits - 1 if header.form == 1 and header.bits < 32 else None
    if value_range is None and own and header.bits > 8 and header.largest not in (None, own):
        raise ValueError(
            f"says that its samples end at {header.largest:g} (MaxSampleValue): give"
            f" data.value_range=[0,{header.largest:g}] where that is white, [0,{own}] where it is"
            " not"
        )
    alpha = None
    if len(values) == header.samples != channels and channels in (1, 3):
        if header.alpha is not None:
            alpha = values[header.alpha].astype(np.float32) / (own or 1)
        values = values[: 3 if header.photometric in (RGB, YCBCR) else 1]
        if alpha is not None and header.extra[:1] == (ASSOCIATED,):
            values = _unmultiplied(values, alpha)
    return Stored(
        values=values,
        highest=own if own and header.bits not in (8, 16) else None,
        white_is_zero=header.photometric == WHITE_IS_ZERO,
        alpha=alpha,
        no_data=header.no_data,
        turn=TRANSPOSE.get(header.orientation),
    )


def _unmultiplied(values: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide samples (C, H, W) that were multiplied by their opacity (H, W)."""
    whole = np.rint(values / np.where(alpha > 0, alpha, 1)) if values.dtype.kind in "ui" else None
    if whole is None:
        return values / np.where(alpha > 0, alpha, 1)
    return np.minimum(whole, np.iinfo(values.dtype).max).astype(values.dtype)


def _samples(file: IO[bytes], header: TiffHeader) -> NDArray[Any]:
    """Return (C, H, W). ValueError for damage."""
    import tifffile

    file.seek(0)
    try:
        with tifffile.TiffFile(file) as opened:
            pages: Any = opened.pages
            if len(header.pages) > 1:
                return np.stack([pages[number].asarray() for number in header.pages])
            values, axes = pages[0].asarray(), pages[0].axes
    except (tifffile.TiffFileError, RuntimeError, MemoryError) as error:
        raise ValueError(str(error)) from error
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.ndim == 2:
        return values[None]
    if values.ndim != 3 or "S" not in axes:
        raise ValueError(f"has shape {values.shape} ({axes}), which is no image")
    return np.moveaxis(values, axes.index("S"), 0)
