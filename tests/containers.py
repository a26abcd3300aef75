"""Write samples into every container that is read, as other programs write them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image


def png(path: Path, samples: np.ndarray, kind: int, *chunks: tuple[bytes, bytes]) -> None:
    """A PNG of 16 bits, samples (H, W, C); ``kind`` 0 grey, 2 colour, 4 and 6 with alpha."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    end = ((b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    for name, body in ((b"IHDR", head), *chunks, *end):
        content += struct.pack(">I", len(body)) + name + body
        content += struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(content)


def opaque(samples: np.ndarray) -> np.ndarray:
    return np.concatenate([samples, np.full_like(samples[..., :1], np.iinfo(samples.dtype).max)], 2)


def as_tiff(path: Path, samples: np.ndarray, **options: Any) -> None:
    if samples.shape[2] == 1:
        tifffile.imwrite(path, samples[..., 0], **{"photometric": "minisblack"} | options)
    else:
        kind = "rgb" if samples.shape[2] > 2 else "minisblack"
        tifffile.imwrite(path, samples, **{"photometric": kind, "planarconfig": "contig"} | options)


def pnm(path: Path, samples: np.ndarray, *, text: bool = False, most: int | None = None) -> None:
    height, width, bands = samples.shape
    most = most or int(np.iinfo(samples.dtype).max)
    kind = {(1, True): 2, (3, True): 3, (1, False): 5, (3, False): 6}[bands, text]
    body = " ".join(map(str, samples.reshape(-1).tolist())).encode()
    if not text:
        body = samples.astype(">u2" if most > 255 else np.uint8).tobytes()
    path.write_bytes(f"P{kind}\n# a comment\n{width} {height}\n{most}\n".encode() + body)


def jpeg2000(path: Path, samples: np.ndarray) -> None:
    plain = samples[..., 0] if samples.shape[2] == 1 else samples
    path.write_bytes(imagecodecs.jpeg2k_encode(plain, reversible=True, level=0))


def pictured(path: Path, samples: np.ndarray, **options: Any) -> None:
    plain = samples[..., 0] if samples.shape[2] == 1 else samples
    Image.fromarray(plain).save(path, **options)


def deep_png(path: Path, samples: np.ndarray) -> None:
    png(path, samples, {1: 0, 2: 4, 3: 2, 4: 6}[samples.shape[2]])


Writer = Callable[[Path, np.ndarray], None]
DEEP: dict[str, Writer] = {
    "plain.png": deep_png,
    "alpha.png": lambda path, samples: deep_png(path, opaque(samples)),
    "plain.tif": as_tiff,
    "alpha.tif": lambda path, samples: as_tiff(path, opaque(samples), extrasamples=[2]),
    "large.tif": lambda path, samples: as_tiff(path, samples, bigtiff=True, byteorder=">"),
    "packed.tif": lambda path, samples: as_tiff(path, samples, compression="deflate", predictor=2),
    "white.tif": lambda path, samples: tifffile.imwrite(
        path, 65535 - samples, photometric="miniswhite"
    ),
    "last.npy": lambda path, samples: np.save(path, samples),
    "first.npy": lambda path, samples: np.save(path, samples.transpose(2, 0, 1)),
    "big.npy": lambda path, samples: np.save(path, samples.astype(">u2")),
    "binary.ppm": pnm,
    "text.ppm": lambda path, samples: pnm(path, samples, text=True),
    "a.jp2": jpeg2000,
}
"""Samples (H, W, C) uint16, C = 1 or 3."""
FLAT: dict[str, Writer] = {
    "plain.png": pictured,
    "alpha.png": lambda path, samples: pictured(path, opaque(samples)),
    "plain.tif": as_tiff,
    "alpha.tif": lambda path, samples: as_tiff(path, opaque(samples), extrasamples=[2]),
    "packed.tif": lambda path, samples: pictured(path, samples, compression="tiff_lzw"),
    "white.tif": lambda path, samples: tifffile.imwrite(
        path, 255 - samples, photometric="miniswhite"
    ),
    "last.npy": lambda path, samples: np.save(path, samples),
    "binary.ppm": pnm,
    "a.webp": lambda path, samples: pictured(
        path, samples.repeat(3 // samples.shape[2], 2), lossless=True
    ),
    "a.bmp": pictured,
    "a.tga": pictured,
    "a.jp2": jpeg2000,
}
"""Samples (H, W, C) uint8, C = 1 or 3."""


def fits(name: str, bands: int) -> bool:
    """White is zero in grey alone, and a WebP is of colours."""
    return not (name == "white.tif" and bands == 3)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()
