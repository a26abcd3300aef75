"""Examine one image file in full: what its header says, its bytes, and what decoding it costs and
finds.

The work of one loader worker for ``doctor``; results are a line each, so memory does not grow with
the images.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from ssl_patches.config.outside import check_regular
from ssl_patches.data.damage import UnreadableImage
from ssl_patches.data.decode import deep_samples
from ssl_patches.data.files import Reading

NO_DATA = (-9999.0, -32768.0, -3.4028234663852886e38, -1.7976931348623157e308)


@dataclass(frozen=True, slots=True)
class Examined:
    """The findings of decoding one file."""

    digest: str  # sha256 of its bytes
    reason: str | None = None  # why it cannot be read
    seconds: float = 0.0  # CPU time of decoding
    # least and most stored value of a file of more than 8 bits
    values: tuple[float, float] | None = None


class Examination(Dataset[Examined]):
    """A data set whose item i is what decoding file i found, as training decodes it.

    ``size``: side in pixels of the squares.
    """

    def __init__(self, paths: list[str], *, reading: Reading, size: int) -> None:
        self.paths, self.reading, self.size = paths, reading, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Examined:
        path = self.paths[index]
        try:
            check_regular(path)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return Examined("", str(error))
        values = stored_values(path, self.reading)
        began = time.process_time()
        try:
            self.reading.square(path, self.size)
        except UnreadableImage as error:
            return Examined(digest, error.reason, values=values)
        return Examined(digest, None, time.process_time() - began, values)


def limits_of(values: np.ndarray) -> tuple[float, float] | None:
    """Return the least and the most value, without pixels that hold none; None where all hold none.

    NaN and infinity are no values, nor are the numbers that stand for none (``NO_DATA``) where they
    lie apart from all others.
    """
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    known = known[~np.isin(known, NO_DATA)] if values.dtype.kind in "if" else known
    return (float(known.min()), float(known.max())) if known.size else None


def stored_values(path: str, reading: Reading) -> tuple[float, float] | None:
    """Return least and most value in a file of more than 8 bits.

    None for others, and where it cannot be read.
    """
    try:
        values = deep_samples(path, channels=reading.channels)
        return None if values is None else limits_of(values)
    except (UnreadableImage, ImportError):
        return None
