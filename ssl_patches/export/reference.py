"""Keep what the trained encoder makes of 16 pictures at three sizes: an export carries it and is
measured by it.

The pictures are the same for ever and are not stored. Of the outputs all pooled features are, and
``SAMPLES`` values of each dense map, at places that the file names: the whole maps of a ViT-B would
be ten times the size of its weights.

Trap: a run that allowed reduced float32 precision would blame the export for its own rounding.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_patches.encoders.exported import ExportMismatch
from ssl_patches.encoders.network import Network, Preprocessing
from ssl_patches.export.exportable import Exportable, Size

REFERENCE = "reference.npz"
IMAGES = 16
BATCH = 16
SAMPLES = 256
PER_SIZE = ("pooled", "dense", "at", "shape")
LARGEST = 2**30  # bytes


def reference_images(count: int, channels: int, size: Size) -> Tensor:
    """Make ``count`` images (N, C, H, W) uint8 that are the same for ever.

    They are flat, ramps, checks, a dot, then noise.
    """
    # its stream is frozen; numpy's and torch's newer generators promise none
    noise = np.random.RandomState(0)
    height, width = size
    rows, cols = np.meshgrid(np.linspace(0, 255, height), np.linspace(0, 255, width), indexing="ij")
    checks = (np.indices(size).sum(0) % 2) * 255.0
    dot = np.full(size, 128.0)
    dot[height // 3, width // 2] = 255
    structured = [np.zeros(size), np.full(size, 255.0), rows, cols, rows * cols / 255, checks, dot]
    images = noise.randint(0, 256, (count, channels, *size))
    for index, picture in enumerate(structured[: count // 2]):
        images[index] = picture  # the same in all channels
    return torch.from_numpy(images.astype(np.uint8))


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 products in float32 on the CPU, whatever precision a run has chosen.

    That is ``torch.set_float32_matmul_precision``; it is as before afterwards.
    """
    mkldnn: Any = torch.backends.mkldnn  # its stubs lack both
    backends = (mkldnn.matmul, mkldnn.conv)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def outputs_of(
    model: nn.Module, images: Tensor, preprocessing: Preprocessing
) -> tuple[Tensor, Tensor]:
    """Return pooled (N, dim) and dense (N, dim, h, w) of a timm model on the CPU, in eval mode.

    ``images`` (N, C, H, W) uint8.
    """
    network = Network(model, preprocessing).eval()
    with full_precision():
        pooled, dense = zip(*(network(batch) for batch in images.split(BATCH)), strict=True)
    return torch.cat(pooled), torch.cat(dense)


@dataclass(frozen=True)
class Reference:
    """Features of the trained encoder to compare with.

    ``arrays``, per size: pooled (N, dim), dense (N, SAMPLES), at (SAMPLES,) positions in a flat
    map, shape (3,) of the map.
    """

    channels: int
    sizes: tuple[Size, ...]
    arrays: dict[str, NDArray[Any]]

    def save(self, path: Path) -> None:
        """Write the features."""
        self._write(path, self.arrays)

    def with_images(self, path: Path, count: int) -> None:
        """Write what ``reload.py`` reads: the features and the images that they are of."""
        images = {
            _key("images", size): reference_images(count, self.channels, size).numpy()
            for size in self.sizes
        }
        self._write(path, self.arrays | images)

    def _write(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        content: dict[str, Any] = {"channels": self.channels, "sizes": self.sizes, **arrays}
        np.savez(path, **content)

    @property
    def count(self) -> int:
        """Return the number of images of each size."""
        return len(self.arrays[_key("pooled", self.sizes[0])])


def _key(name: str, size: Size) -> str:
    return f"{name}_{size[0]}x{size[1]}"


def reference_of(exportable: Exportable, count: int) -> Reference:
    """Compute the reference with the trained weights, in this process.

    ExportMismatch when there is nothing to compare: all zeros, or numbers that are not finite.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for size in exportable.sizes():
        images = reference_images(count, exportable.preprocessing.channels, size)
        pooled, dense = outputs_of(exportable.at(size), images, exportable.preprocessing)
        for outputs in (pooled, dense):
            if not torch.isfinite(outputs).all() or not outputs.any():
                raise ExportMismatch(
                    "export: the trained model gives all zeros or numbers that are not finite, so"
                    " there is nothing to compare"
                )
        flat = dense.flatten(1)
        at = np.random.RandomState(1).permutation(flat.shape[1])[:SAMPLES]
        arrays |= {
            _key("pooled", size): pooled.numpy(),
            _key("dense", size): flat[:, torch.from_numpy(at)].numpy(),
            _key("at", size): at,
            _key("shape", size): np.array(dense.shape[1:]),
        }
    return Reference(exportable.preprocessing.channels, exportable.sizes(), arrays)


def load_reference(directory: Path) -> Reference:
    """Read the reference of an export.

    ValueError when the folder carries none, or one of before (KeyError inside becomes it);
    ExportMismatch where it is damaged.
    """
    path = Path(directory) / REFERENCE
    if not path.is_file():
        raise ValueError(
            f"model={directory}: must hold {REFERENCE} to be verified and does not; export it again"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise ValueError("unpacks to more than any reference")
        with np.load(path, allow_pickle=False) as stored:
            if "sizes" not in stored.files:
                raise KeyError("sizes")
            sizes = tuple((int(height), int(width)) for height, width in stored["sizes"])
            names = [_key(name, size) for size in sizes for name in PER_SIZE]
            arrays = {name: stored[name] for name in names}
            channels = int(stored["channels"])
            most = max(height * width for height, width in sizes) * channels
            if most * len(arrays[names[0]]) > LARGEST:
                raise ValueError("is of more pixels than any reference")
    except KeyError:
        raise ValueError(
            f"model={directory}: {REFERENCE} is of an older version of ssl_patches; export it again"
        ) from None
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ExportMismatch(
            f"{directory}: {REFERENCE} cannot be read ({error}); export again"
        ) from None
    return Reference(channels, sizes, arrays)
