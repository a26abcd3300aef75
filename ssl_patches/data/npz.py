"""Read npz: one array in a file, as numpy writes it with ``savez`` and ``savez_compressed``.

Its axes are those of npy: (H, W), (H, W, C) or (C, H, W). Of several arrays the one called
``image`` is read; a file without it is refused, because its others would be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy

from ssl_patches.data.arrays import channels_first, extent_of
from ssl_patches.data.opening import PARSING, check_bytes
from ssl_patches.data.stored import Stored

NAME = "image.npy"


class NpzReader:
    """Read npz files, see above."""

    suffixes = (".npz",)
    library, extra = "numpy", ""

    def is_there(self) -> bool:
        """Tell whether it can be read: always, by numpy."""
        return True

    def begins(self, begin: bytes) -> bool:
        """Tell whether a file that begins so is a zip archive, as npz is."""
        return begin[:4] == b"PK\3\4"

    def extent(self, file: IO[bytes], channels: int | None) -> tuple[int, int]:
        """Return width and height of an open file. ValueError for damage and other ``channels``."""
        held = self.channels_of(file) if channels is None else channels
        with _member(file) as (_, shape):
            return extent_of(shape, channels=held)

    def channels_of(self, file: IO[bytes]) -> int:
        """Return how many channels an open file holds, as it seems. ValueError for damage."""
        with _member(file) as (_, shape):
            return 1 if len(shape) < 3 else min(shape[0], shape[-1])

    def read_samples(
        self, file: IO[bytes], *, channels: int, value_range: Sequence[float] | None
    ) -> Stored:
        """Read the array of an open file. ValueError for damage and other ``channels``."""
        with _member(file) as (content, _):
            content.seek(0)
            with PARSING:
                values = npy.read_array(content, allow_pickle=False)
        return Stored(values=channels_first(values, channels=channels))


@contextmanager
def _member(file: IO[bytes]) -> Iterator[tuple[IO[bytes], tuple[int, ...]]]:
    """Open the array of an archive; its shape is bounded. ValueError for damage."""
    try:
        with ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            if NAME not in names and len(names) != 1:
                raise ValueError(
                    f"holds {len(names)} arrays and none called image; store one array a file, or"
                    " call it image"
                )
            with archive.open(NAME if NAME in names else names[0]) as content:
                shape, kind = _stated(content)
                check_bytes(shape, kind.itemsize)
                yield content, shape
    except (BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"is a damaged npz file: {error}") from error


def _stated(content: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with PARSING:
        version = npy.read_magic(content)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(content)
    if kind.hasobject:
        raise ValueError("holds Python objects, which are not read; store numbers")
    return shape, kind
