"""Refuse a batch of views that this machine cannot hold, before anything is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ssl_patches.config.schema import channels_of

BYTES = 5  # of a sample: as loaded (uint8), and as a view (float32)


def check_batch(cfg: Mapping[str, Any], *, memory: int | None = None) -> None:
    """Check that a batch of views fits into the memory of this machine, ``memory`` in bytes.

    A lower bound of what a step takes: activations come on top (``cost.measure_memory``).
    ValueError where the batch alone is more.
    """
    memory = physical_memory() if memory is None else memory
    side, batch = cfg["image_size"], cfg["data"]["batch_size"]
    each = channels_of(cfg) * side**2 * BYTES
    if memory is None or batch * each <= memory:
        return
    smaller = f"set data.batch_size={memory // each}" if each <= memory else "set image_size=224"
    raise ValueError(
        f"image_size={side}, data.batch_size={batch}: the views of a batch alone are"
        f" {batch * each / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB; {smaller} or"
        " less"
    )


def physical_memory() -> int | None:
    """Return the bytes of memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
