"""Measure mean and deviation of the pixels of a source, once: what ``data.statistics=measured``
normalises with.

Per channel, over all pixels of the training images as the exported preprocessing makes them (at
most ``LIMIT`` of them, a fixed sample: the mean is then known to a thousandth). Sums of whole
numbers, so the result does not depend on batch size or workers. Kept in the user's cache folder
under a key of all that decides them (``ImageSource.kept_key``); a run writes the numbers into its
configuration and its export, and needs the cache no more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from tqdm import tqdm

from ssl_patches.config.atomic import write_text
from ssl_patches.config.keys import key_of
from ssl_patches.config.machine import cache_folder
from ssl_patches.config.outside import read_json
from ssl_patches.data.module import items_of, ordered_loader
from ssl_patches.data.source import ImageSource

LIMIT = 20_000  # images
Statistics = dict[str, list[float]]


def channel_statistics(
    source: ImageSource, *, num_workers: int = 0, folder: Path | None = None
) -> Statistics:
    """Return ``{"mean": [...], "std": [...]}`` of ``source``, one share 0..1 per channel.

    Read from ``folder`` where it is known, else measured and kept there; None: the user's.
    Of a Dataset of one's own nothing is kept: nobody knows whether it is still the same.
    ValueError for a channel that is the same everywhere: there is nothing to divide by.
    """
    sample, _, _ = items_of(source, [0])[0]
    images, folder = source.kept_key(), folder or cache_folder("statistics")
    if not images or folder is None:
        return _measure(source, num_workers)
    key = key_of(images=images, shape=list(sample.shape), limit=LIMIT)
    place = folder / f"{key[:32]}.json"
    try:
        known = read_json(place)
        check_statistics(known, len(sample))
    except (OSError, ValueError, TypeError):  # not there, or not what we wrote
        known = _measure(source, num_workers)
        with suppress(OSError):  # nowhere to keep them: measured again next time
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, json.dumps(known))
    return known


def _measure(source: ImageSource, num_workers: int) -> Statistics:
    count, channels = 0, len(items_of(source, [0])[0][0])
    total, squares = torch.zeros(2, channels, dtype=torch.int64)
    loader = ordered_loader(source, batch_size=64, num_workers=num_workers, limit=LIMIT)
    with tqdm(
        total=min(LIMIT, len(source)),
        desc="mean and std",
        unit="image",
        disable=not sys.stderr.isatty(),
    ) as bar:
        for batch in loader:
            pixels = batch.images.transpose(0, 1).flatten(1).long()
            count, total, squares = (
                count + pixels.shape[1],
                total + pixels.sum(1),
                squares + (pixels * pixels).sum(1),
            )
            bar.update(len(batch.images))
    mean = total.double() / count
    deviation = (squares.double() / count - mean * mean).clamp(min=0).sqrt()
    flat = (deviation < 1e-9).nonzero().flatten().tolist()
    if flat:
        raise ValueError(
            f"data.statistics=measured: channel {flat[0]} is {mean[flat[0]]:.0f} in every pixel, so"
            " it cannot be normalised; leave that channel out, or set data.statistics=imagenet"
        )
    return {"mean": (mean / 255).tolist(), "std": (deviation / 255).tolist()}


def check_statistics(
    stated: Mapping[str, Sequence[float]], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return ``mean`` and ``std`` as tuples of shares 0..1.

    ValueError unless both have one number per channel, and each std is above 0.
    """
    mean, std = (tuple(map(float, stated.get(key, ()))) for key in ("mean", "std"))
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise ValueError(
            f"data.statistics={dict(stated)}: must have mean and std, one number per channel"
            f" ({channels}), std above 0; set data.statistics=measured"
        )
    return mean, std
