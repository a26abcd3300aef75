"""Build the images that a configuration names: sources, pixel statistics, calibration batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_patches.config import overlaid
from ssl_patches.config.check import check
from ssl_patches.config.instantiate import build, locate, signature
from ssl_patches.config.schema import LOADER, SUPPLIED, channels_of
from ssl_patches.data.items import ItemSource
from ssl_patches.data.live import LIVE, Datasets, of_datasets
from ssl_patches.data.module import ordered_loader
from ssl_patches.data.source import ImageSource
from ssl_patches.data.statistics import channel_statistics, check_statistics
from ssl_patches.data.wrapped import as_source
from ssl_patches.types import IMAGENET_MEAN, IMAGENET_STD

CALIBRATION_IMAGES = 1024
PLACES = ("root", "path", "skip", "cache", "dir", "folder", "file")
"""Keys of ``data``, or ends of them, that name a place on disk."""


def pixel_statistics(
    cfg: Mapping[str, Any],
    *,
    allowed: tuple[str, ...] | None = None,
    sources: Datasets | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of the pixels, shares 0..1, one number per channel.

    ``data.statistics`` is ``imagenet`` (None; averaged for any number of channels but three),
    ``measured`` on the training images, or ``{mean: [...], std: [...]}``. ValueError where the
    numbers do not fit the channels. ``allowed``, ``sources``: as for ``source``.
    """
    channels, stated = channels_of(cfg), cfg["data"].get("statistics") or "imagenet"
    if stated == "measured":
        stated = channel_statistics(
            source(cfg, "train", whole=True, allowed=allowed, sources=sources),
            num_workers=cfg["data"]["num_workers"],
        )
    if isinstance(stated, Mapping):
        return check_statistics(stated, channels)
    if channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD
    return (sum(IMAGENET_MEAN) / 3,) * channels, (sum(IMAGENET_STD) / 3,) * channels


def with_measured_statistics(
    cfg: Mapping[str, Any], *, sources: Datasets | None = None
) -> dict[str, Any]:
    """Return ``cfg`` with measured statistics as numbers.

    Whoever reads the run later needs neither its images nor our cache.
    """
    if cfg["data"].get("statistics") != "measured":
        return dict(cfg)
    mean, std = pixel_statistics(cfg, sources=sources)
    return {**cfg, "data": {**cfg["data"], "statistics": {"mean": list(mean), "std": list(std)}}}


def with_changes(
    data: Mapping[str, Any], words: Sequence[str], allowed: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Change the data node of a run by ``data.KEY=VALUE`` that the user typed.

    Returns it with what it may name: ``allowed``, and an address where the user typed it.
    BadRequest with all that is wrong; ValueError for an address that options of the folder would
    lead elsewhere.
    """
    if not words:
        return data, allowed
    found, typed = overlaid(data, words, allowed=allowed), {w.partition("=")[0] for w in words}
    path = str(found.get("path") or "")
    if "data.path" not in typed or "://" not in path:
        return found, allowed
    if found.get("storage_options") and "data.storage_options" not in typed:
        raise ValueError(
            f"data.path={path}: where that is fetched from is decided by data.storage_options too,"
            " which are the folder's; type data.storage_options={...} as well, or ={} for none"
        )
    return found, (*allowed, path)


def with_absolute_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data node with the folders and files that it names from the root of the disk.

    Whoever reads it in another working folder then finds the same images.
    """
    found = dict(data)
    for key, value in data.items():
        if not isinstance(value, str) or "://" in value or key.rpartition("_")[2] not in PLACES:
            continue
        place = os.path.abspath(os.path.expanduser(value))
        if os.path.exists(place) or key in PLACES[:2]:
            found[key] = place
    return found


def with_label_kind(
    data: Mapping[str, Any], wanted: str, *, allowed: tuple[str, ...] | None = None
) -> Mapping[str, Any]:
    """Return the data node so that a source that can read its labels in two ways reads ``wanted``.

    ``wanted``: class or value; with any other the source decides. ``allowed``: as for ``source``.
    """
    if data["_target_"] == LIVE:
        return data
    knobs, _ = signature(locate(data["_target_"], key="data._target_", allowed=allowed))
    if wanted not in ("class", "value") or "label_kind" not in knobs or data.get("label_kind"):
        return data
    return {**data, "label_kind": wanted}


def other_images(before: str | None, found: ImageSource) -> bool:
    """Tell whether ``found`` has other images than those with the fingerprint ``before``.

    False where one of them cannot be recognised.
    """
    now = found.fingerprint()
    return bool(before and now) and before not in (now, found.former_fingerprint())


def data_name(data: Mapping[str, Any]) -> str:
    """Return what tables call the images.

    The data set's or the folder's own name, or the kind of source.
    """
    name = str(data.get("name") or Path(str(data.get("root") or data.get("path") or "")).stem)
    return name or data["_target_"].rpartition(".")[2].removesuffix("Source").lower()


def with_value_range(
    data: Mapping[str, Any],
    value_range: Sequence[float] | None,
    *,
    allowed: tuple[str, ...] | None = None,
) -> Mapping[str, Any]:
    """Return the data node with the range that an encoder was trained with, where it states none.

    A source that draws 8 bits or prepares its images itself takes none, and is left as it is.
    ``allowed``: as for ``source``.
    """
    if value_range is None or data.get("value_range") is not None:
        return data
    target = locate(data["_target_"], key="data._target_", allowed=allowed)
    knobs, _ = signature(target)
    prepared = isinstance(target, type) and issubclass(target, ImageSource)
    if "value_range" not in knobs and prepared:
        return data
    return {**data, "value_range": list(value_range)}


def source(
    cfg: Mapping[str, Any],
    split: str,
    *,
    whole: bool,
    allowed: tuple[str, ...] | None = None,
    sources: Datasets | None = None,
) -> ImageSource:
    """Build the images of a split.

    ``whole``: at the size of the exported preprocessing, for calibration and evaluation; otherwise
    at the size that crops are cut from. ``allowed``: the ``_target_``s and the addresses that may
    be named; None: any. With them ``cfg`` counts as somebody else's: it is checked, and fetches
    nothing else.
    ``sources``: the Dataset objects that the configuration cannot name, by split.

    A Dataset of the user's own gets what it takes of ``split``, ``image_size``, ``load_size``,
    ``channels`` and ``value_range``; what it returns becomes a source unless it is one already (it
    has a ``fingerprint``). ValueError for images that are not there or not fit.
    """
    node = {key: value for key, value in cfg["data"].items() if key not in LOADER}
    if allowed is not None:
        allowed = (*allowed, LIVE)  # which does nothing but refuse
        node = _of_somebody(node, allowed)
    size, channels = cfg["image_size"], channels_of(cfg)
    load_size, value_range = size if whole else None, cfg["data"].get("value_range")
    if sources is not None and node["_target_"] == LIVE:
        return of_datasets(
            sources,
            name=node["name"],
            split=split,
            image_size=size,
            channels=channels,
            load_size=load_size,
            apart=cfg["data"].get("num_workers", 1) > 0,
            value_range=value_range,
        )
    knobs, _ = signature(locate(node["_target_"], key="data._target_", allowed=allowed))
    derived = {
        "split": split,
        "image_size": size,
        "load_size": load_size,
        "channels": channels,
        "value_range": value_range,
    }
    given = {key: value for key, value in derived.items() if key in knobs}
    found = build(node, allowed=allowed, **given)
    workers = cfg["data"].get("num_workers", 1) > 0
    if isinstance(found, ImageSource) or hasattr(found, "fingerprint"):
        if value_range is not None and "value_range" not in knobs:
            raise ValueError(
                f"data.value_range={list(value_range)}: {node['_target_'].rpartition('.')[2]} takes"
                " none, so it could not be applied; take it out"
            )
        own = as_source(found)
        own.reads_apart = own.reads_apart and workers
        return own
    return ItemSource(
        found,
        where=f"data._target_={node['_target_']}",
        split=split,
        divide="split" not in knobs,
        image_size=size,
        channels=channels,
        load_size=load_size,
        apart=workers,
        value_range=None if "value_range" in knobs else value_range,
    )


def remarks(*sources: ImageSource | None) -> list[str]:
    """Return what there is to say of the images of a command, each line once."""
    lines = [line for found in sources if found is not None for line in found.remarks]
    return list(dict.fromkeys(lines))


def _of_somebody(node: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Check a node that came with a folder; return it without what would fetch or write.

    ValueError where it names an address.
    """
    checked: dict[str, Any] = check(
        {"data": node}, supplied={"data": SUPPLIED["data"]}, allowed=allowed
    )["data"]
    path = str(checked.get("path") or "")
    if "://" in path and path not in allowed:
        options = " with its data.storage_options" if checked.get("storage_options") else ""
        raise ValueError(
            f"data.path={path}: the folder names an address, and nothing is fetched because it says"
            f" so; type data.path={path}{options} yourself if you trust it"
        )
    return {key: value for key, value in checked.items() if key != "download"}


def whole_batches(
    cfg: Mapping[str, Any],
    *,
    allowed: tuple[str, ...] | None = None,
    sources: Datasets | None = None,
    fingerprint: str | None = None,
) -> Iterator[Tensor]:
    """Yield training images as the exported model gets them, (B, C, S, S) normalised.

    An encoder is calibrated with these, ``CALIBRATION_IMAGES`` at most. ``allowed``, ``sources``:
    as for ``source``. ``fingerprint``: of the images that they have to be; ValueError for others.
    """
    mean, std = (
        torch.tensor(part).view(-1, 1, 1)
        for part in pixel_statistics(cfg, allowed=allowed, sources=sources)
    )
    train = source(cfg, "train", whole=True, allowed=allowed, sources=sources)
    if other_images(fingerprint, train):
        place = cfg["data"].get("root") or cfg["data"].get("path") or data_name(cfg["data"])
        raise ValueError(
            f"data.root={place}: its images are not those that the run was trained on (another"
            " fingerprint), and the statistics of BatchNorm are measured on those; set data.root"
            " to where they are now"
        )
    some: dict[str, Any] = {"batch_size": 128, "limit": CALIBRATION_IMAGES}
    for batch in ordered_loader(train, num_workers=0, dealt=True, **some):
        yield (batch.images.float().div_(255) - mean).div_(std)
