"""Take Dataset objects of the Python API as sources: ``ssl_patches.pretrain(data=my_dataset)``.

A configuration is plain data, so it names ``live_source`` and the objects are passed beside it, as
``sources``, to whatever builds images. In another process or later they have to be given again: a
run directory never holds them. Loader workers are forked and have them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn

from ssl_patches.data.items import ItemSource

LIVE = "ssl_patches.data.live.live_source"
"""The ``_target_`` of images that were given as Dataset objects."""

Datasets = Mapping[str, Any]
"""Map-style Datasets by split: ``train`` and perhaps ``val``."""


def live_source(
    *,
    name: str,
    split: Literal["train", "val"],
    image_size: int,
    channels: int = 3,
    load_size: int | None = None,
) -> NoReturn:
    """Refuse images that nobody gave; ``build.source`` takes ``of_datasets`` where they are given.

    ``name``: what they were called in errors and tables. Raises ValueError always.
    """
    raise ValueError(
        f"data={name}: was a Dataset object of the program that trained, and is not kept with"
        " the run; give data= again, to ssl_patches.evaluate or ssl_patches.export the object,"
        " to a command data=folder data.root=DIR or the like"
    )


def of_datasets(
    datasets: Datasets,
    *,
    name: str,
    split: str,
    image_size: int,
    channels: int = 3,
    load_size: int | None = None,
    apart: bool = True,
    value_range: Sequence[float] | None = None,
) -> ItemSource:
    """Return the images of a split; without ``val``, 20 % of ``train`` are held out.

    ``name``: what they are called in errors and tables. ``image_size``, ``load_size``: sides in
    pixels. ``value_range``: stored values that become black and white in arrays of more than 8
    bits. ``apart``: as for ``ItemSource``. ValueError for what is no map-style Dataset of images.
    """
    return ItemSource(
        datasets.get(split, datasets["train"]),
        where=f"data={name}",
        split=split,
        image_size=image_size,
        channels=channels,
        load_size=load_size,
        value_range=value_range,
        divide="val" not in datasets,
        apart=apart,
    )
