"""Decide which files are the images where others that were made from them lie beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.left_out import Aside, LeftOut
from ssl_patches.data.suffixes import ARRAYS, SUFFIXES


def beside_arrays(
    suffixes: NDArray[np.uint8], name: Callable[[int], str], aside: Aside
) -> tuple[NDArray[np.int64] | None, int]:
    """Return which images stay where there are pictures and arrays, None for all, and how many go.

    ``suffixes`` (N,): of images in the order of their paths, as numbers in ``SUFFIXES``. ``name``:
    of an image. What goes is added to ``aside``.
    """
    arrays = [at for at, suffix in enumerate(SUFFIXES) if suffix in ARRAYS]
    return arrays_or_pictures(np.isin(suffixes, arrays), name, aside)


def arrays_or_pictures(
    array: NDArray[np.bool_], name: Callable[[int], str], aside: Aside
) -> tuple[NDArray[np.int64] | None, int]:
    """Return which images stay, None for all, and how many go, given which are arrays (N,)."""
    arrays, pictures = int(array.sum()), int((~array).sum())
    if not arrays or not pictures:
        return None, 0
    if pictures <= max(1, arrays // 10) and arrays > 2 * pictures:
        why, gone = f"pictures beside {arrays:,} .npy files, which are the images", ~array
        what = "images"
    else:
        why, gone, what = "made from the pictures beside them, as it seems", array, ".npy files"
    aside.add(name(int(gone.argmax())), why, what, count=int(gone.sum()))
    return np.flatnonzero(~gone), int(gone.sum())


def masks_in(inside: Mapping[str, Sequence[str]], elsewhere: Iterable[str]) -> list[LeftOut]:
    """Say which folders hold what may be masks of images that lie elsewhere.

    ``inside``: folders that are called like masks, and the paths of what they hold.
    """
    others = {_stem(path) for path in elsewhere}
    why = "called like images elsewhere; if they are masks, give the folder a leading dot"
    return [
        LeftOut(len(paths), "images", min(paths), why, "used as images")
        for paths in inside.values()
        if 10 * sum(_stem(path) in others for path in paths) >= 9 * len(paths)
    ]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]
