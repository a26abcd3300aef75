"""Find exact nearest neighbours among the images of a folder, block by block.

Memory does not grow with N x N: vectors lie on disk (``VectorFile``), every pair is compared, and
one block against another is what is in memory. Vectors are whitened: less the mean of the folder,
and divided by the deviation along each principal direction. What most images of a folder share
then counts little, and a cosine means about the same for every encoder. Copies are told by the
cosine of the features, what is odd by the distance of features and looks together: an odd image
may lie in a usual direction, but far out.

The trap: groups of copies are joined pair by pair (single linkage), so a chain of slowly changing
images, as of a film, becomes one group.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 2048  # rows of a block: 16 MB of cosines
SHRINKAGE = 0.01  # of the mean variance, added to each: directions without images stay small
SMALLEST = 1e-12


class Whitening(NamedTuple):
    """A linear map that makes the directions of a folder's vectors equal."""

    mean: NDArray[np.float32]  # (dim,)
    matrix: NDArray[np.float32]  # (dim, dim)

    def __call__(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Map vectors (n, dim) to directions (n, dim) of length 1, and lengths (n,)."""
        moved = (vectors - self.mean) @ self.matrix
        lengths = np.maximum(np.linalg.norm(moved, axis=1), SMALLEST)
        return (moved / lengths[:, None]).astype(np.float32), lengths.astype(np.float32)


class Vectors(NamedTuple):
    """Whitened vectors of N images: directions of length 1, and lengths."""

    rows: NDArray[np.float32]  # (N, dim)
    lengths: NDArray[np.float32]  # (N,)

    def of_mean_square_one(self) -> Vectors:
        """Return the same vectors, shorter or longer, so that several kinds count alike."""
        mean = np.sqrt(np.mean(np.square(self.lengths, dtype=float)))
        return Vectors(self.rows, (self.lengths / max(mean, SMALLEST)).astype(np.float32))


class VectorFile:
    """Vectors (N, dim) float32 on a file without a name that goes with this object."""

    def __init__(self, dim: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the object)
        self.dim, self.count = dim, 0
        self._sum, self._squares = np.zeros(dim), np.zeros((dim, dim))

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append vectors (n, dim)."""
        self._file.write(np.ascontiguousarray(vectors, np.float32).tobytes())
        self.count += len(vectors)
        exact = vectors.astype(np.float64)
        self._sum += exact.sum(0)
        self._squares += exact.T @ exact

    def whitening(self) -> Whitening:
        """Return the map for the vectors that are there."""
        mean = self._sum / max(self.count, 1)
        covariance = self._squares / max(self.count, 1) - np.outer(mean, mean)
        values, directions = np.linalg.eigh(covariance)
        values = np.maximum(values, 0)
        scale = np.sqrt(values + SHRINKAGE * values.mean() + SMALLEST)
        return Whitening(mean.astype(np.float32), (directions / scale).astype(np.float32))

    def whitened(self) -> Vectors:
        """Return what ``add`` was given, whitened, in the same file.

        Called once, when all vectors are there.
        """
        self._file.flush()
        shape = (self.count, self.dim)
        rows: NDArray[np.float32] = np.memmap(self._file, np.float32, "r+", shape=shape)
        whitening, lengths = self.whitening(), np.zeros(self.count, np.float32)
        for start in range(0, self.count, BLOCK):
            part = slice(start, start + BLOCK)
            rows[part], lengths[part] = whitening(rows[part])
        return Vectors(rows, lengths)


def groups_of(
    rows: NDArray[np.float32], *, similarity: float, block: int = BLOCK
) -> NDArray[np.int64]:
    """Return a number (N,) for each of ``rows`` (N, dim), the same for near-copies.

    Rows have length 1. Those with a cosine of ``similarity`` or more are in one group, and whatever
    is joined through others.
    """
    group = np.arange(len(rows))
    for top in range(0, len(rows), block):
        for left in range(top, len(rows), block):
            products = rows[top : top + block] @ rows[left : left + block].T
            group = _joined(group, products >= similarity, top, left)
    return group


class Nearest(NamedTuple):
    """The nearest neighbours of N vectors; an infinite distance: there is none."""

    which: NDArray[np.int64]  # (N, k), nearest first
    distance: NDArray[np.float32]  # (N, k)


def nearest_apart(
    kinds: Sequence[Vectors], group: NDArray[np.int64], *, k: int, block: int = BLOCK
) -> Nearest:
    """Find the ``k`` nearest images to each that are not in its ``group`` (N,).

    Squared distances of all ``kinds`` of vectors, each of mean square one, are added. ValueError
    where there are not more than ``k`` images.
    """
    count = len(group)
    if not 1 <= k < count:
        raise ValueError(f"k={k}: must be 1 to {count - 1}, as many as there are others")
    kinds = [kind.of_mean_square_one() for kind in kinds]
    index = np.zeros((count, k), np.int64)
    distance = np.full((count, k), np.inf, np.float32)
    for top in range(0, count, block):
        here = slice(top, min(top + block, count))
        for left in range(0, count, block):
            there = slice(left, left + block)
            apart = _squares(kinds[0], here, there)
            for kind in kinds[1:]:
                apart += _squares(kind, here, there)
            np.sqrt(np.maximum(apart, 0, out=apart), out=apart)
            apart[group[here, None] == group[None, there]] = np.inf
            distance[here], index[here] = _nearer(distance[here], index[here], apart, left)
    return Nearest(index, distance)


def _squares(vectors: Vectors, here: slice, there: slice) -> NDArray[np.float32]:
    """Return squared distances (n, m) between the vectors of two blocks."""
    own, others = vectors.lengths[here, None], vectors.lengths[None, there]
    apart = vectors.rows[here] @ vectors.rows[there].T
    apart *= -2 * own * others
    apart += own**2 + others**2
    return apart


def _nearer(
    near: NDArray[np.float32], which: NDArray[np.int64], apart: NDArray[np.float32], left: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Merge the nearest so far (n, k) with those of one block, nearest first."""
    k = min(near.shape[1], apart.shape[1])
    best = np.argpartition(apart, k - 1, axis=1)[:, :k]
    both = np.concatenate([near, np.take_along_axis(apart, best, 1)], 1)
    names = np.concatenate([which, best + left], 1)
    order = np.argsort(both, axis=1, kind="stable")[:, : near.shape[1]]
    return np.take_along_axis(both, order, 1), np.take_along_axis(names, order, 1)


def _joined(
    group: NDArray[np.int64], alike: NDArray[np.bool_], top: int, left: int
) -> NDArray[np.int64]:
    """Join the groups (N,) of pairs that are alike (n, m), rows from ``top``, columns ``left``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = np.nonzero(alike)
    one, other = group[one + top], group[other + left]
    apart = one != other
    if not apart.any():
        return group
    edges = np.ones(int(apart.sum()), np.int8), (one[apart], other[apart])
    size = len(group)
    joined = connected_components(coo_array(edges, shape=(size, size)), directed=False)[1]
    return np.asarray(joined[group], np.int64)
