"""Decide which files are the images where others that were made from them lie beside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.left_out import Aside, LeftOut
from ssl_patches.data.no_images import MASK_NAMES
from ssl_patches.data.suffixes import ARRAYS, SUFFIXES

LOOKED_AT = 64  # names of a folder
MASKED = (
    "called like images beside them; if they are masks, move them to a folder with a leading dot"
)
_MASK_END = re.compile(
    r"[-_ ](mask|masks|seg|segmentation|gt|label|labels|labelids)$", re.IGNORECASE
)


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


def maybe_masks(paths: Iterable[str]) -> list[LeftOut]:
    """Say where a folder is called like masks and its files are called like images elsewhere."""
    inside: dict[str, list[str]] = {}
    elsewhere: list[str] = []
    for path in paths:
        folder = path.rpartition("/")[0]
        masks = folder.rpartition("/")[2].lower() in MASK_NAMES
        (inside.setdefault(folder, []) if masks else elsewhere).append(path)
    return masks_in(inside, elsewhere) if inside else []


def masks_by_name(names: Sequence[str]) -> tuple[int, str] | None:
    """Return how many names of one folder are those of others with ``_mask`` or the like at their
    end, and the first; None where there are none. A few names are looked at before all are."""
    if not any(_MASK_END.search(_stem(name)) for name in names[:LOOKED_AT]):
        return None
    stems = {_stem(name) for name in names}
    found = []
    for name in names:
        stem = _stem(name)
        bare = _MASK_END.sub("", stem)
        if bare != stem and bare in stems:
            found.append(name)
    return (len(found), found[0]) if found else None


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]
