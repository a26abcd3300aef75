"""Keep the points of maps in the user's cache folder, and find them again.

A file is named by the key of everything that decides it, written whole or not at all, and read as
numbers and text only. The folder holds the newest ``MOST`` maps.
"""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_patches.config.atomic import replacing
from ssl_patches.config.machine import cache_folder
from ssl_patches.config.outside import parse_json
from ssl_patches.data.damage import DAMAGE

MOST = 50  # maps; one of 2,000 images takes about 5 MB
LARGEST = 2**29  # bytes of a file that is read


@dataclass(frozen=True)
class Points:
    """What a map shows of N images, in their order.

    ``vectors`` (N, dim) float32; ``places`` (N, 2) in 0..1; ``clusters`` (N,). ``labels`` (N,): a
    class, -1 for none, or an amount. ``thumbnails``: WebP of each. ``total``: images
    that there are.
    """

    vectors: NDArray[np.float32]
    places: NDArray[np.float32]
    clusters: NDArray[np.int64]
    labels: NDArray[np.generic]
    classes: list[str]
    names: list[str]
    thumbnails: list[bytes]
    total: int


def file_of(key: str | None) -> Path | None:
    """Return the file of a key; None without one, and for a user without a home."""
    folder = cache_folder("view")
    return None if key is None or folder is None else folder / f"{key[:32]}.npz"


def read_points(file: Path) -> Points | None:
    """Read what ``keep_points`` wrote; None where it is not there, or damaged."""
    with suppress(*DAMAGE, zipfile.BadZipFile):
        if file.stat().st_size > LARGEST:
            return None
        with np.load(file, allow_pickle=False) as stored:
            told = parse_json(str(stored["told"]))
            ends, blob = stored["ends"].tolist(), stored["thumbnails"].tobytes()
            found = Points(
                vectors=stored["vectors"],
                places=stored["places"],
                clusters=stored["clusters"],
                labels=stored["labels"],
                classes=told["classes"],
                names=told["names"],
                thumbnails=[blob[a:b] for a, b in zip([0, *ends], ends, strict=False)],
                total=told["total"],
            )
        parts = (found.vectors, found.places, found.clusters, found.labels, found.thumbnails)
        return found if {len(part) for part in parts} == {len(found.names)} else None
    return None


def keep_points(file: Path, points: Points) -> bool:
    """Write a map, delete the oldest beyond ``MOST``; tell whether it could be written."""
    told = {"classes": points.classes, "names": points.names, "total": points.total}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as aside, aside.open("wb") as opened:
            np.savez(
                opened,
                vectors=points.vectors,
                places=points.places,
                clusters=points.clusters,
                labels=points.labels,
                told=np.array(json.dumps(told)),
                ends=np.cumsum([len(one) for one in points.thumbnails]),
                thumbnails=np.frombuffer(b"".join(points.thumbnails), np.uint8),
            )
        files = sorted(file.parent.glob("*.npz"), key=lambda one: -one.stat().st_mtime)
        for old in files[MOST:]:
            old.unlink(missing_ok=True)
    except OSError:  # a full disk, a home that may only be read: it is computed each time
        return False
    return True
