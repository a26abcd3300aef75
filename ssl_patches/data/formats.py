"""Find what reads a format that is neither Pillow's, nor TIFF, nor npy: DICOM, HEIC, npz.

A new format is a class more in ``READERS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Protocol

from ssl_patches.data.dicom import DicomReader
from ssl_patches.data.heif import HeicReader
from ssl_patches.data.npz import NpzReader
from ssl_patches.data.stored import Stored

BEGIN = 132  # bytes of a file that tell its format


class FormatReader(Protocol):
    """Reads files of a format. ``library`` does it, which the extra ``extra`` brings."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Return the ends of the names of such files, in lower case."""

    @property
    def library(self) -> str:
        """Return the name of the library that reads them, as it is imported."""

    @property
    def extra(self) -> str:
        """Return the extra of ours that installs it; "" where it is always there."""

    def is_there(self) -> bool:
        """Tell whether the library is installed."""

    def begins(self, begin: bytes) -> bool:
        """Tell whether a file that begins so, with ``BEGIN`` bytes, is of the format."""

    def extent(self, file: IO[bytes], channels: int | None) -> tuple[int, int]:
        """Return width and height of an open file. ValueError for damage, other ``channels``."""

    def channels_of(self, file: IO[bytes]) -> int:
        """Return how many channels an open file holds. ValueError for damage."""

    def read_samples(
        self, file: IO[bytes], *, channels: int, value_range: Sequence[float] | None
    ) -> Stored:
        """Read the samples of an open file. ValueError for damage and for what is not read."""


READERS: tuple[FormatReader, ...] = (DicomReader(), HeicReader(), NpzReader())
ANY_CHANNELS = (*DicomReader.suffixes, *NpzReader.suffixes)  # HEIC has one or three


def reader_in(file: IO[bytes]) -> FormatReader | None:
    """Return what reads an open file, by how it begins, or None: Pillow, TIFF or npy.

    The file is at its begin afterwards. ValueError where the library is not installed.
    """
    begin = file.read(BEGIN)
    file.seek(0)
    return _usable(next((reader for reader in READERS if reader.begins(begin)), None))


def reader_for(path: str) -> FormatReader | None:
    """Return what reads a file of that name, or None. ValueError without its library."""
    fitting = (reader for reader in READERS if path.lower().endswith(reader.suffixes))
    return _usable(next(fitting, None))


def _usable(reader: FormatReader | None) -> FormatReader | None:
    if reader is not None and not reader.is_there():
        raise ValueError(missing_library(reader))
    return reader


def missing_library(reader: FormatReader) -> str:
    """Say what a format needs that is not installed."""
    return (
        f"{reader.suffixes[0]} is read by {reader.library}; install it: pip install"
        f" 'ssl-patches[{reader.extra}]'"
    )


def suffix_by(begin: bytes) -> str:
    """Return the suffix of a format with a library of its own, by how a nameless image begins."""
    fitting = (reader for reader in READERS if reader.extra and reader.begins(begin[:BEGIN]))
    return next((reader.suffixes[0] for reader in fitting), "")


def library_missing_for(name: str, without: Mapping[str, str]) -> str | None:
    """Return what to install for a file of that name; None: nothing.

    ``without``: of ``unreadable_suffixes``.
    """
    return without.get(name[name.rfind(".") :].lower()) if without else None


def unreadable_suffixes() -> dict[str, str]:
    """Return suffix -> what to install, of formats whose library is not installed."""
    return {
        suffix: missing_library(reader)
        for reader in READERS
        if not reader.is_there()
        for suffix in reader.suffixes
    }
