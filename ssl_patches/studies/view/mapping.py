"""Make the map of a run: features of its training images, once, and what a dropped image is near.

Nothing is written into the run. What was computed is kept in the user's cache folder, under
everything that decides it, and found there the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_patches.config.keys import key_of
from ssl_patches.config.version import __version__
from ssl_patches.data import build as build_data
from ssl_patches.data.decode import decode
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.source import ImageSource
from ssl_patches.encoders.subject import Subject, open_model
from ssl_patches.evaluation.duplicates.thumbnails import webp
from ssl_patches.evaluation.features.extract import frozen
from ssl_patches.evaluation.features.reader import Reader, image_name
from ssl_patches.evaluation.floors import digest
from ssl_patches.evaluation.images import chosen_data, range_told, say_images
from ssl_patches.studies.view import kept
from ssl_patches.studies.view.jobs import Computation
from ssl_patches.studies.view.kept import Points
from ssl_patches.studies.view.layout import directions, grouped, laid_out
from ssl_patches.studies.view.request import ViewRequest

RULES = 1  # of how a map is made; raise it when maps change
AT_ONCE = 64  # images
NEAREST = 12  # images shown
PLACED_BY = 5  # nearest images that say where a dropped one lies


@dataclass(frozen=True)
class Near:
    """The nearest images to one, nearest first: numbers of points, and cosines."""

    which: list[int]
    cosines: list[float]


class RunMap:
    """The map of a run, and its encoder for images that are dropped.

    ``points``: what is on it. ``notes``: lines on the images that the page says.
    """

    def __init__(
        self, points: Points, reader: Reader, value_range: Any, notes: list[str], name: str
    ) -> None:
        self.points, self.notes, self.name = points, notes, name
        self._reader, self._range, self._lock = reader, value_range, Lock()
        self._rows = directions(points.vectors)
        self._mean = points.vectors.mean(0)

    def near(self, point: int) -> Near:
        """Return the nearest images to a point, without it. IndexError where there is none."""
        if not 0 <= point < len(self._rows):
            raise IndexError(f"point {point} of {len(self._rows)}")
        found = self._nearest(self._rows[point], NEAREST + 1)
        kept_ones = [at for at in found if at != point][:NEAREST]
        return self._told(self._rows[point], kept_ones)

    def near_image(self, content: bytes) -> tuple[Tensor, Near, int]:
        """Return an image as the encoder sees it (C, S, S), its nearest images, and where it lies.

        It is shown at the point that is closest on the map to the nearest ``PLACED_BY``: one of
        them, so that it never lands where no image is. Raises ``UnreadableImage``.
        """
        pixels = decode(
            "the image",
            channels=self._reader.channels,
            size=self._reader.size,
            value_range=self._range,
            data=content,
        )
        with self._lock, frozen(self._reader.network, self._reader.device):
            vector = self._reader(pixels[None])[0, 0].numpy()
        moved = vector - self._mean
        row = moved / max(float(np.linalg.norm(moved)), 1e-12)
        found = self._told(row, list(self._nearest(row, NEAREST)))
        some = self.points.places[found.which[:PLACED_BY]]
        apart = np.linalg.norm(some[:, None] - some[None], axis=-1).sum(1)
        return pixels, found, found.which[int(apart.argmin())]

    def _nearest(self, row: NDArray[np.float32], k: int) -> list[int]:
        return [int(at) for at in np.argsort(-(self._rows @ row), kind="stable")[:k]]

    def _told(self, row: NDArray[np.float32], which: list[int]) -> Near:
        return Near(which, [float(min(1.0, self._rows[at] @ row)) for at in which])


def run_map(run: Path, request: ViewRequest, job: Computation[RunMap]) -> RunMap:
    """Make the map of a run, or find it in the cache.

    ValueError where the run has no export, or its images cannot be had; the line says what to type.
    """
    job.begin("opening the encoder")
    subject = open_model(str(run), pretrained=True)
    cfg = {**request.cfg, "model": str(run)}
    notes: list[str] = []
    data, allowed = chosen_data(cfg, subject, request.changes, config_dirs=request.config_dirs)
    notes += range_told(cfg.get("data"), data, subject, str(run))
    source = build_data.source(
        {"data": data, "image_size": subject.image_size}, "train", whole=True, allowed=allowed
    )
    say_images(notes.append, subject, [source], of_run=not cfg.get("data"))
    reader = Reader(subject, tiles=None, precision="fp32")
    file = kept.file_of(_key(subject, data, source, images=cfg["images"]))
    points = None if file is None else kept.read_points(file)
    if points is None:
        points = _points(reader, source, images=cfg["images"], job=job)
        if file is not None:
            kept.keep_points(file, points)
    name = build_data.data_name(data)
    return RunMap(points, reader, data.get("value_range"), notes, name)


def _key(
    subject: Subject, data: Mapping[str, Any], source: ImageSource, *, images: int
) -> str | None:
    """Return the key of everything that decides a map; None where nobody knows the images."""
    if not source.kept_key():
        return None
    return key_of(
        rules=RULES,
        weights=digest(subject.model),
        image_size=subject.image_size,
        mean=list(subject.mean),
        std=list(subject.std),
        value_range=data.get("value_range"),
        images=images,
        files=source.kept_key(),
        labels=source.label_key(),
        root=source.root,
        versions=[__version__, torch.__version__, sklearn.__version__, np.__version__],
    )


def _points(
    reader: Reader, source: ImageSource, *, images: int, job: Computation[RunMap]
) -> Points:
    """Read features and thumbnails in one pass over the images, then lay them out."""
    job.begin("reading images", min(images, len(source)))
    vectors, labels, index, pictures = [], [], [], []
    batches = ordered_loader(source, batch_size=AT_ONCE, num_workers=0, limit=images)
    with frozen(reader.network, reader.device):
        for batch in batches:
            if len(batch.images):
                vectors.append(reader(batch.images)[:, 0].numpy())
                one_each = batch.labels.dim() == 1  # neither masks nor several labels
                labels.append(batch.labels.numpy() if one_each else np.full(len(batch.images), -1))
                index += batch.index.tolist()
                pictures += [webp(image) for image in batch.images]
            job.step(len(batch.images))
    if not index:
        raise ValueError("data: holds no readable image; set data.root=DIR to others")
    read = np.concatenate(vectors).astype(np.float32)
    rows = directions(read)
    job.begin(f"laying out {len(rows):,} images")
    places = laid_out(rows)
    job.begin("grouping them")
    return Points(
        vectors=read,
        places=places,
        clusters=grouped(rows),
        labels=np.concatenate(labels),
        classes=[str(name) for name in source.classes],
        names=[image_name(source, "train", at) for at in index],
        thumbnails=pictures,
        total=len(source),
    )
