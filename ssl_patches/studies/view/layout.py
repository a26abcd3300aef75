"""Lay features out as a map, and group them: t-SNE and k-means of scikit-learn.

Points that lie together in a map (van der Maaten and Hinton, 2008) are neighbours by features.
The traps: distances between groups, their sizes and their densities mean nothing, and a map shows
groups in noise too. So a click shows the neighbours by features, not those of the map.

Why t-SNE: scikit-learn is here anyway. umap-learn brings numba and llvmlite, 190 MB, and compiles
itself in each process: the first map, which is all that most processes make, takes it twice as long
(docs/view.md has both measured, benchmarks/maps/measure.py measures).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PERPLEXITY = 30.0  # neighbours that a point minds; scikit-learn's default
GROUPS = 10  # as many as there are colours
LEAST_OF_GROUP = 5  # images, on average


def directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (N, dim) less their mean (dim,), each of length 1."""
    centred = vectors - vectors.mean(0)
    lengths = np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return (centred / lengths).astype(np.float32)


def laid_out(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return places (N, 2) in 0..1 for ``rows`` (N, dim); the same for the same rows."""
    from sklearn.manifold import TSNE

    if len(rows) < 4:
        return np.linspace(0, 1, 2 * len(rows), dtype=np.float32).reshape(-1, 2)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    init = "pca" if min(rows.shape) >= 2 and float(np.ptp(rows, axis=0).max()) > 0 else "random"
    places = TSNE(perplexity=perplexity, init=init, random_state=0).fit_transform(rows)
    places = places - places.min(0)
    return (places / max(float(places.max()), 1e-12)).astype(np.float32)


def grouped(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the cluster (N,) of each of ``rows`` (N, dim), the largest is 0."""
    from sklearn.cluster import KMeans

    groups = min(GROUPS, len(rows) // LEAST_OF_GROUP, len(np.unique(rows, axis=0)))
    if groups < 2:
        return np.zeros(len(rows), np.int64)
    found = KMeans(groups, n_init=3, random_state=0).fit(rows).labels_
    order = np.argsort(-np.bincount(found, minlength=groups), kind="stable")
    return np.argsort(order)[found]
