"""Open huge images: which reader a file has, and which extra that reader needs.

The name of a file decides, and for TIFF its header too: GeoTIFF goes to rasterio, which knows masks
and no-data of each band, slides to OpenSlide, any other TIFF to tifffile.
"""

from __future__ import annotations

import importlib.util
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_patches.data.arrays import NPY, TIFF
from ssl_patches.data.huge.flat import FlatImage, unpacked
from ssl_patches.data.huge.geo import GeoImage
from ssl_patches.data.huge.image import Box, HugeImage, failures_of
from ssl_patches.data.huge.slide import SlideImage
from ssl_patches.data.huge.tiff import TiffImage, is_geo
from ssl_patches.data.huge.zarr import ZarrImage
from ssl_patches.data.stored import Stored
from ssl_patches.data.suffixes import BIG_TIFF, SLIDES, ZARR

JPEG2000 = ".jp2"
EXTRAS = {
    "tiff": ("tifffile", "tiff"),
    "slide": ("openslide", "slides"),
    "geo": ("rasterio", "geo"),
    "zarr": ("zarr", "zarr"),
}
"""Kind of a file -> the library that reads it, and the extra of ours that brings it."""
KEPT_OPEN = 32  # images of a process


@dataclass(frozen=True, slots=True)
class Opening:
    """How huge images are opened.

    ``channels``: those that they must have. ``value_range``: as for ``Reading``. ``memory``: MiB
    that decoding a PNG or JPEG may take. ``unpacked``: the folder of what is unpacked.
    """

    channels: int
    value_range: tuple[float, float] | None
    memory: int
    unpacked: Path

    def open(self, path: str) -> HugeImage:
        """Open an image. Raises ``UnreadableImage`` for what is damaged or not read."""
        with failures_of(path):
            return self._open(path)

    def _open(self, path: str) -> HugeImage:
        kind = file_kind(path)
        if kind == "tiff":
            return TiffImage(path, channels=self.channels, value_range=self.value_range)
        if kind == "slide":
            return SlideImage(path, channels=self.channels)
        if kind == "geo":
            return GeoImage(path, channels=self.channels)
        if kind == "zarr":
            return ZarrImage(path, channels=self.channels)
        if not path.lower().endswith(NPY):
            path = unpacked(path, channels=self.channels, memory=self.memory, folder=self.unpacked)
        return FlatImage(path, channels=self.channels)


class Opened:
    """Images that a process keeps open, the ones that were asked for last.

    A worker process opens its own: a handle that a fork shares would share its place in the file.
    """

    def __init__(self, opening: Opening) -> None:
        self.opening, self._process = opening, os.getpid()
        self._images: OrderedDict[str, HugeImage] = OrderedDict()

    def __getstate__(self) -> Opening:
        return self.opening

    def __setstate__(self, opening: Opening) -> None:
        self.__init__(opening)  # type: ignore[misc]

    def read(self, path: str, box: Box, level: int) -> Stored:
        """Return a part of an image as stored. Raises ``UnreadableImage``."""
        with failures_of(path):
            return self._image(path).read(box, level)

    def _image(self, path: str) -> HugeImage:
        if self._process != os.getpid():
            self._process, self._images = os.getpid(), OrderedDict()
        if path not in self._images:
            while len(self._images) >= KEPT_OPEN:
                self._images.popitem(last=False)[1].close()
            self._images[path] = self.opening.open(path)
        self._images.move_to_end(path)
        return self._images[path]


def file_kind(path: str) -> str:
    """Return which reader a path has: tiff, slide, geo, zarr, or flat for all others."""
    lower = path.lower().rstrip("/")
    if lower.endswith(ZARR):
        return "zarr"
    if lower.endswith(SLIDES):
        return "slide"
    if lower.endswith(JPEG2000):
        return "geo"
    if lower.endswith((*TIFF, *BIG_TIFF)):
        return "geo" if is_geo(path) else "tiff"
    return "flat"


def require_extras(paths: Sequence[str]) -> None:
    """Raise ValueError where files are there whose library is not installed."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault(file_kind(path), []).append(path)
    for kind, those in kinds.items():
        module, extra = EXTRAS.get(kind, ("numpy", ""))
        if importlib.util.find_spec(module) is None:
            raise ValueError(
                f"data=windows: {os.path.basename(those[0])} and {len(those) - 1} more are read by"
                f" {module}; install it: pip install 'ssl-patches[{extra}]', or name them in"
                " data.skip"
            )
