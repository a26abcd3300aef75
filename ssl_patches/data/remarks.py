"""Say what of the images is lost as they are read: ends of long ones, frames, bands that are taken
for transparency.

These are remarks, one line for each kind: such images are read, and may be meant so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_patches.data.traits import Traits, traits_of

Extent = tuple[int, int]  # width, height in pixels
ELONGATED = 3  # times as long as wide
MANY_FRAMES = (".tif", ".tiff", ".gif", ".webp")  # formats that may hold more than one picture
LOOKED_AT = 32  # files of those


def of_files(extents: Mapping[str, Extent], channels: int) -> list[str]:
    """Say what is lost of some files, by their size and by the headers of a few of them."""
    paths = list(extents)
    several = [at for at, path in enumerate(paths) if path.lower().endswith(MANY_FRAMES)]
    return of_listed(paths, _array(extents), channels, several)


def of_listed(
    paths: Sequence[str], extents: NDArray[Any], channels: int, several: Sequence[int]
) -> list[str]:
    """Say what is lost of files ``paths``.

    ``extents`` (N, 2): width and height of each; ``several``: those that end in ``MANY_FRAMES``.
    """
    few = several[:: max(1, len(several) // LOOKED_AT)][:LOOKED_AT]
    some = {paths[at]: traits_of(paths[at]) for at in few}
    return [*of_traits(some, channels, of=len(several)), *_of_shapes(paths, extents)]


def of_extents(extents: Mapping[str, Extent]) -> list[str]:
    """Say how many images are so elongated that their central square is a small part of them.

    ``extents``: (width, height) in pixels, by path.
    """
    return _of_shapes(list(extents), _array(extents))


def _array(extents: Mapping[str, Extent]) -> NDArray[Any]:
    return np.array(list(extents.values()), np.int64).reshape(-1, 2)


def _of_shapes(paths: Sequence[str], extents: NDArray[Any]) -> list[str]:
    wide, high = extents[:, 0], extents[:, 1]  # ten times as quick as along the last axis
    least, most = np.minimum(wide, high), np.maximum(wide, high)
    long = np.flatnonzero(most >= ELONGATED * least.astype(np.int64))
    if not len(long):
        return []
    lost = np.sort(1 - least[long] / most[long])
    share = f"{100 * lost[len(lost) // 2]:.3g} %"
    return [
        f"{len(long):,} images ({paths[int(long[0])]}) are {ELONGATED} times as long as wide or"
        f" more: only the central square is read, {share} of each is not; cut them into squares to"
        " use all"
    ]


def of_traits(traits: Mapping[str, Traits], channels: int, *, of: int | None = None) -> list[str]:
    """Say which files hold more than is read with so many ``channels``.

    ``of``: how many files there are, where only some of them were looked at.
    """
    more = "at least " if of is not None and of > len(traits) else ""

    def those(test: Callable[[Traits], bool]) -> list[str]:
        return [path for path, trait in traits.items() if test(trait)]

    lines = []
    if found := those(lambda trait: trait.pages > 1):
        lines.append(
            f"{more}{len(found):,} images ({found[0]}) have several frames, of which the first is"
            " read; store frames as files of their own to use all"
        )
    paged = those(lambda trait: trait.format == "TIFF" and trait.mode == "array")
    other = [path for path in paged if traits[path].channels not in (None, channels)]
    if other:
        first = traits[other[0]]
        lines.append(
            f"{more}{len(other):,} TIFF files ({other[0]}) hold {first.channels} pages or bands and"
            f" data.channels is {channels}; data.channels={first.channels} reads all of them"
        )
    if channels in (1, 3) and (found := those(lambda t: t.format == "TIFF" and t.mode == "RGBA")):
        lines.append(
            f"{more}{len(found):,} TIFF files ({found[0]}) have a fourth band that is marked as"
            " transparency, and are laid on white by it; where it is data (near-infrared), set"
            " data.channels=4"
        )
    return lines
