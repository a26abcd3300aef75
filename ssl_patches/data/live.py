"""A Dataset object of the Python API as a source: ``ssl_patches.pretrain(data=my_dataset)``.

A configuration is plain data, so it names ``live_source`` and the object stands aside for the time
of the call. After that, or in another process, the object is gone and has to be given again: a run
directory never holds it, and two runs can never take each other's. Loader workers are forked and
have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from ssl_patches.data.items import ItemSource

_STANDING: ContextVar[Mapping[str, Any] | None] = ContextVar("datasets of the call", default=None)


@contextmanager
def standing(datasets: Mapping[str, Any] | None) -> Iterator[None]:
    """Within: ``live_source`` finds these, ``train`` and perhaps ``val``; without ``val`` it
    divides ``train`` 80/20."""
    token = _STANDING.set(datasets)
    try:
        yield
    finally:
        _STANDING.reset(token)


def live_source(
    *,
    name: str,
    split: Literal["train", "val"],
    image_size: int,
    channels: int = 3,
    load_size: int | None = None,
) -> ItemSource:
    """The images of the Dataset that stands aside. ``name``: what it is called in errors and
    tables."""
    datasets = _STANDING.get()
    if datasets is None:
        raise ValueError(
            f"data={name}: was a Dataset object of the program that trained, and is not kept with"
            " the run; give data= again, to ssl_patches.evaluate or ssl_patches.export the object,"
            " to a command data=folder data.root=DIR or the like"
        )
    return ItemSource(
        datasets.get(split, datasets["train"]),
        where=f"data={name}",
        split=split,
        image_size=image_size,
        channels=channels,
        load_size=load_size,
        divide="val" not in datasets,
    )
